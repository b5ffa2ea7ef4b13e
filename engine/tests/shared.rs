//! Eight workers compute with the same weights while all of them read the weights.
//!
//! On CUDA, MLX moves a buffer that the CPU reads: without a copy of its own for each reader, kernels of
//! other workers would read freed memory.

use emily_engine::{Config, Device, Handle, Worker};
use emily_spec::{DType, Dot, Op, TensorType, Unary};

const WORKERS: usize = 8;
const SIDE: usize = 512;

/// New weights so often: those that were read once may stay where they were moved to.
const ROUNDS: usize = 20;

fn worker() -> Worker {
    Worker::start(Config {
        device: Device::preferred(),
        f64: false,
    })
    .expect("a worker")
}

fn one(worker: &Worker, op: impl Into<Op>, inputs: &[Handle]) -> Handle {
    worker
        .apply(&op.into(), inputs)
        .expect("a result")
        .remove(0)
}

/// The whole numbers from 0 to 12, over and over: products of such matrices are exact.
fn numbers(worker: &Worker) -> Handle {
    let values = (0..SIDE * SIDE).map(|i| (i % 13) as f32);
    let bytes: Vec<u8> = values.flat_map(f32::to_ne_bytes).collect();
    let ty = TensorType::new(DType::F32, [SIDE, SIDE]);
    worker.from_bytes(ty, &bytes).expect("a tensor")
}

fn product() -> Op {
    Op::Dot(Dot {
        contract_left: vec![1].into(),
        batch_left: None,
        contract_right: vec![0].into(),
        batch_right: None,
        dtype: None,
    })
}

#[test]
fn weights_are_read_while_others_compute_with_them() {
    let workers: Vec<Worker> = (0..WORKERS).map(|_| worker()).collect();
    let numbers = numbers(&workers[0]);
    let negated = one(&workers[0], Unary::Negate, std::slice::from_ref(&numbers));
    let weights = negated.to_bytes().expect("the weights").to_vec();
    let squared = one(&workers[0], product(), &[negated.clone(), negated]);
    let squared = squared.to_bytes().expect("the product").to_vec();
    for round in 0..ROUNDS {
        // A result, so that it is where the device computes, and not where it was uploaded to.
        let shared = one(
            &workers[round % WORKERS],
            Unary::Negate,
            std::slice::from_ref(&numbers),
        );
        shared.eval().expect("its values");
        std::thread::scope(|scope| {
            for worker in &workers {
                scope.spawn(|| {
                    for _ in 0..4 {
                        let product = one(worker, product(), &[shared.clone(), shared.clone()]);
                        let is =
                            |tensor: &Handle, bytes: &[u8]| *tensor.to_bytes().unwrap() == *bytes;
                        assert!(is(&shared, &weights), "the weights");
                        assert!(is(&product, &squared), "the product");
                    }
                });
            }
        });
    }
}
