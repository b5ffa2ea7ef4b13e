//! What the C library keeps of small tensors that were freed is given back before large ones come. A process
//! of its own, as its resident set is what is measured.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod common;

use emily_engine::{Handle, Worker, memory};
use emily_spec::{DType, Iota, Op, Shape};

const MIB: usize = 1 << 20;

fn iota(worker: &Worker, elements: usize) -> Handle {
    let op = Op::Iota(Iota {
        dtype: DType::F32,
        shape: Shape::from([elements]),
        axis: None,
    });
    let tensor = worker.apply(&op, &[]).unwrap().remove(0);
    tensor.eval().unwrap();
    tensor
}

/// The process's resident memory, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<usize>().unwrap() << 10
}

#[test]
fn tensors_that_are_gone_take_no_room_from_larger_ones() {
    let worker = common::worker();
    memory::set_limit(400 * MIB).unwrap();
    let before = resident();
    let small: Vec<Handle> = (0..9000).map(|_| iota(&worker, 10_000)).collect();
    // Something is left everywhere.
    let kept: Vec<Handle> = small.into_iter().step_by(20).collect();
    let large: Vec<Handle> = (0..40).map(|_| iota(&worker, 2 * MIB)).collect();
    let taken = resident() - before;
    assert!(taken < 400 * MIB, "{} MiB", taken / MIB);
    drop((kept, large));
}
