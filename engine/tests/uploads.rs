//! Uploads at once stay within the memory limit together.

mod common;

use std::sync::Barrier;

use emily_engine::{Handle, memory};
use emily_spec::{DType, ErrorKind, Result, TensorType};

const MIB: usize = 1 << 20;

#[test]
fn of_uploads_at_once_no_more_succeed_than_fit() {
    let limit = memory::stats().unwrap().active + 100 * MIB;
    memory::set_limit(limit).unwrap();
    let workers = [(); 4].map(|()| common::worker());
    let bytes = vec![1; 60 * MIB];
    let mut fitted = 0;
    for _ in 0..20 {
        let together = Barrier::new(workers.len());
        let upload = |worker: &emily_engine::Worker| {
            together.wait();
            worker.from_bytes(TensorType::new(DType::U8, [bytes.len()]), &bytes)
        };
        let uploads: Vec<Result<Handle>> = std::thread::scope(|scope| {
            let threads = workers
                .each_ref()
                .map(|worker| scope.spawn(|| upload(worker)));
            threads.map(|thread| thread.join().unwrap()).into()
        });
        let active = memory::stats().unwrap().active;
        assert!(active <= limit, "{active} bytes of {limit}");
        for upload in uploads {
            match upload {
                Ok(_tensor) => fitted += 1,
                Err(error) => assert_eq!(error.kind, ErrorKind::Memory, "{error}"),
            }
        }
    }
    assert!(fitted > 0, "none was uploaded");
}
