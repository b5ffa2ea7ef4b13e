//! Uploads and results at once stay within the memory limit together.

mod common;

use std::sync::{Barrier, Mutex, PoisonError};

use emily_engine::{Handle, Worker, memory};
use emily_spec::{Concatenate, DType, ErrorKind, Op, Result, TensorType};

const MIB: usize = 1 << 20;

/// The limit is the whole process's.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Has workers take so much at once, again and again, with room for one of them: no two succeed together.
fn at_once(room: usize, take: impl Fn(&Worker) -> Result<Handle> + Sync) {
    let limit = memory::stats().unwrap().active + room;
    memory::set_limit(limit).unwrap();
    let workers = [(); 4].map(|()| common::worker());
    let mut fitted = 0;
    for _ in 0..20 {
        let together = Barrier::new(workers.len());
        let turn = |worker: &Worker| {
            together.wait();
            take(worker)
        };
        let taken: Vec<Result<Handle>> = std::thread::scope(|scope| {
            let threads = workers
                .each_ref()
                .map(|worker| scope.spawn(|| turn(worker)));
            threads.map(|thread| thread.join().unwrap()).into()
        });
        let active = memory::stats().unwrap().active;
        assert!(active <= limit, "{active} bytes of {limit}");
        let refused = taken.iter().filter_map(|result| result.as_ref().err());
        for error in refused.clone() {
            assert_eq!(error.kind, ErrorKind::Memory, "{error}");
        }
        let succeeded = taken.len() - refused.count();
        assert!(succeeded <= 1, "{succeeded} at once");
        fitted += succeeded;
    }
    assert!(fitted > 0, "nobody got any");
    memory::set_limit(usize::MAX / 2).unwrap();
}

#[test]
fn of_uploads_at_once_no_more_succeed_than_fit() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let bytes = vec![1; 60 * MIB];
    at_once(100 * MIB, |worker| {
        worker.from_bytes(TensorType::new(DType::U8, [bytes.len()]), &bytes)
    });
}

#[test]
fn of_results_at_once_no_more_succeed_than_fit() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let bytes = vec![1; 30 * MIB];
    let x = common::worker().from_bytes(TensorType::new(DType::U8, [bytes.len()]), &bytes);
    let x = x.unwrap();
    // A result of 60 MiB, and by its price as much on the way.
    let op = Op::Concatenate(Concatenate {
        axis: 0,
        dtype: None,
    });
    at_once(130 * MIB, |worker| {
        let whole = worker.apply(&op, &[x.clone(), x.clone()])?.remove(0);
        whole.eval()?;
        Ok(whole)
    });
}
