//! What singular values of a long matrix do to memory. A process of its own, because MLX's counters are
//! process-wide.

mod common;

use emily_engine::memory;
use emily_spec::{DType, Iota, Op, Shape, Svd};

const MIB: usize = 1 << 20;

#[test]
fn thin_singular_vectors_take_no_square_of_the_length() {
    let worker = common::worker();
    let long = Op::Iota(Iota {
        dtype: DType::F32,
        shape: Shape::from([20_000, 3]),
        axis: None,
    });
    let svd = Op::Svd(Svd {
        full_matrices: false,
    });
    let long = worker.apply(&long, &[]).unwrap();
    for factor in worker.apply(&svd, &long).unwrap() {
        factor.eval().unwrap();
    }
    // A square U of f32 would take 1.6 GB.
    let peak = memory::stats().unwrap().peak;
    assert!(peak < 32 * MIB, "peak {peak}");
}
