//! Matrix products at the dtypes that models use.

use criterion::{Criterion, criterion_group, criterion_main};
use emily_engine::{Config, Device, Handle, Worker};
use emily_spec::{DType, Op, Shape};

const N: usize = 1024;

fn matrix(worker: &Worker, dtype: DType) -> Handle {
    let iota = Op::Iota {
        dtype,
        shape: Shape::from([N, N]),
        axis: Some(1),
    };
    let matrix = worker.apply(&iota, &[]).expect("a matrix").remove(0);
    matrix.eval().expect("a matrix");
    matrix
}

fn matmul(c: &mut Criterion) {
    let worker = Worker::start(Config {
        device: Device::Cpu,
        f64: false,
    })
    .expect("a CPU worker");
    let mut group = c.benchmark_group("matmul_1024");
    group.sample_size(20);
    for dtype in [DType::F32, DType::F16, DType::Bf16] {
        let a = matrix(&worker, dtype);
        let dot = Op::Dot {
            contract_left: vec![1],
            batch_left: vec![],
            contract_right: vec![0],
            batch_right: vec![],
            dtype: None,
        };
        group.bench_function(dtype.name(), |b| {
            b.iter(|| {
                let product = worker.apply(&dot, &[a.clone(), a.clone()]);
                product.expect("a product")[0].eval().expect("its values");
            });
        });
    }
    group.finish();
}

criterion_group!(benches, matmul);
criterion_main!(benches);
