//! What the operating system lets a process have bounds what the engine takes: in a process of its own, whose
//! address space is limited.
#![cfg(target_os = "linux")]

mod common;

use std::process::Command;

use emily_engine::{Handle, memory};
use emily_spec::{Arithmetic, DType, ErrorKind, Op, Result, TensorType};

const MIB: usize = 1 << 20;

/// Set in the process that is limited.
const LIMITED: &str = "EMILY_TEST_LIMITED";

#[test]
fn a_process_of_limited_address_space_is_refused_and_lives() {
    if std::env::var_os(LIMITED).is_some() {
        return fill();
    }
    let test = std::env::current_exe().unwrap();
    for kib in [2_000_000, 4_000_000] {
        let script = format!("ulimit -v {kib} && exec \"$0\" --exact \"$1\" --nocapture");
        let output = Command::new("sh")
            .args(["-c", &script])
            .arg(&test)
            .arg("a_process_of_limited_address_space_is_refused_and_lives")
            .env(LIMITED, "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{kib} KiB: {}: {text}",
            output.status
        );
    }
}

/// Takes all there is, by uploads and by results, twice.
fn fill() {
    let worker = common::worker();
    assert!(memory::limit() < 4 << 30, "{} bytes", memory::limit());
    let bytes = vec![1; 16 * MIB];
    let upload = || worker.from_bytes(TensorType::new(DType::F32, [4 * MIB]), &bytes);
    let first = upload().unwrap();
    let add = || -> Result<Handle> {
        let inputs = [first.clone(), first.clone()];
        let sum = worker.apply(&Op::from(Arithmetic::Add), &inputs)?.remove(0);
        sum.eval()?;
        Ok(sum)
    };
    let takes: [&dyn Fn() -> Result<Handle>; 2] = [&upload, &add];
    for take in [takes, takes].concat() {
        let mut held = Vec::new();
        let error = loop {
            match take() {
                Ok(tensor) => held.push(tensor),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind, ErrorKind::Memory, "{error}");
        let active = memory::stats().unwrap().active;
        assert!(active <= memory::limit(), "{active} bytes");
        assert!(held.len() > 4, "{} tensors", held.len());
    }
}
