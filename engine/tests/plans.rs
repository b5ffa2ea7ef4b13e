//! What a Fourier transform needs beside MLX's buffers counts: a plan and room to work in, which the C++ library
//! allocates for itself. In a process of its own, as its resident set is what is measured.
#![cfg(target_os = "linux")]

mod common;

use std::fs;

use emily_spec::{DType, Op, TensorType};
use serde_json::json;

/// The largest that the process's resident memory was since it was last asked for, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.unwrap().trim().trim_end_matches(" kB");
    let bytes = kibibytes.parse::<u64>().unwrap() * 1024;
    fs::write("/proc/self/clear_refs", "5").unwrap();
    bytes
}

#[test]
fn a_transform_stays_within_its_cost_whatever_its_length() {
    let worker = common::worker();
    let ten = TensorType::new(DType::F32, [10]);
    let x = worker.from_bytes(ten.clone(), &[1; 40]).unwrap();
    // A prime, and twice a prime beside a power of two of their size.
    for length in [2_097_143, 2 * 1_048_573, 2_097_152] {
        for name in ["fft", "ifft", "rfft", "irfft"] {
            let op = Op::read(name, json!({"axis": 0, "length": length})).unwrap();
            let types = op.infer(std::slice::from_ref(&ten)).unwrap();
            let cost = op.cost(std::slice::from_ref(&ten), &types).unwrap();
            let allowed = cost.temporaries + types[0].byte_size().unwrap() as u64;
            peak();
            let before = peak();
            let y = worker
                .apply(&op, std::slice::from_ref(&x))
                .unwrap()
                .remove(0);
            y.eval().unwrap();
            let grown = peak().saturating_sub(before);
            // The C library keeps some of what was freed before.
            assert!(
                grown <= allowed + (1 << 20),
                "{name} of {length}: {grown} bytes, {allowed} allowed"
            );
        }
    }
}
