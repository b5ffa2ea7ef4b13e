//! Matrix products at the dtypes that models use.

use criterion::{Criterion, criterion_group, criterion_main};
use emily_engine::{Config, Device, Handle, Worker};
use emily_spec::{AsType, DType, Dot, Op, TensorType};

const N: usize = 1024;

/// Ones, stored as NumPy stores its operand: an iota would be a view that MLX copies every time.
fn matrix(worker: &Worker, dtype: DType) -> Handle {
    let ones = vec![1f32.to_le_bytes(); N * N].concat();
    let ty = TensorType::new(DType::F32, [N, N]);
    let ones = worker.from_bytes(ty, &ones).expect("a matrix");
    let matrix = worker.apply(&Op::AsType(AsType { dtype }), &[ones]);
    let matrix = matrix.expect("a matrix").remove(0);
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
        let dot = Op::Dot(Dot {
            contract_left: [1].into(),
            batch_left: None,
            contract_right: [0].into(),
            batch_right: None,
            dtype: None,
        });
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
