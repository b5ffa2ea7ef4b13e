//! Memory that a caller's numbers decide on and that is not to be had is an error, and nothing ends.
//!
//! The allocator of this process fails at the n-th large allocation, for every n there is. MLX's own memory is
//! not of this allocator: it is refused beforehand.
#![expect(unsafe_code, reason = "an allocator")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use emily_engine::{Handle, Worker};
use emily_spec::{DType, ErrorKind, Op, Result, TensorType};
use serde_json::json;

const MIB: usize = 1 << 20;

/// Smaller allocations are not of a size that a caller chose.
const LARGE: usize = 128 << 10;

/// How many large allocations until one fails; 0 for none.
static UNTIL: AtomicUsize = AtomicUsize::new(0);

struct Failing;

/// Whether this allocation is the one that fails.
fn fails(bytes: usize) -> bool {
    let count = |until: usize| until.checked_sub(1);
    bytes >= LARGE && UNTIL.fetch_update(Ordering::SeqCst, Ordering::SeqCst, count) == Ok(1)
}

// SAFETY: the system's allocator, or none.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if fails(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if fails(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: as the caller's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if fails(size) {
            return std::ptr::null_mut();
        }
        // SAFETY: as the caller's.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: as the caller's.
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Failing = Failing;

/// Fails each large allocation of `call` in turn; returns how many there are.
fn each(call: impl Fn() -> Result<()>) -> usize {
    for n in 1.. {
        UNTIL.store(n, Ordering::SeqCst);
        let outcome = call();
        let failed = UNTIL.swap(0, Ordering::SeqCst) == 0;
        match outcome {
            Ok(()) if failed => panic!("allocation {n} failed, and nobody noticed"),
            Ok(()) => return n - 1,
            Err(error) if failed => assert_eq!(error.kind, ErrorKind::Memory, "{error}"),
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!("numbers do not end")
}

fn upload(worker: &Worker, bytes: &[u8]) -> Result<Handle> {
    worker.from_bytes(TensorType::new(DType::U8, [bytes.len()]), bytes)
}

/// One test, as the allocator is the process's.
#[test]
fn an_allocation_that_fails_is_an_error() {
    let worker = common::worker();
    let bytes = vec![7; MIB + 8];
    // MLX reads elements, and these lie askew.
    let askew = each(|| upload(&worker, &bytes[1..=MIB]).map(drop));
    assert!(askew > 0);

    let tensor = upload(&worker, &bytes).unwrap();
    let read = each(|| tensor.read().map(drop));
    assert!(read > 0);

    let many = vec![upload(&worker, &[1]).unwrap(); 40_000];
    let all = Op::read("concatenate", json!({"axis": 0})).unwrap();
    let operands = each(|| worker.apply(&all, &many)?[0].eval());
    assert!(operands > 0);
    println!("{askew} + {read} + {operands} allocations failed one by one");
}
