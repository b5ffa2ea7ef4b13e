//! Prints by how many bytes MLX's memory grows when a contiguous 64 MiB tensor is read.
//!
//! A program of its own, because the allocator's counters belong to the process.

use emily_engine::{Config, Device, Worker, memory};
use emily_spec::{DType, Iota, Op, Result, Shape};

fn main() -> Result<()> {
    let worker = Worker::start(Config {
        device: Device::Cpu,
        f64: false,
    })?;
    let iota = Op::Iota(Iota {
        dtype: DType::S32,
        shape: Shape::from([16 << 20]),
        axis: None,
    });
    let large = worker.apply(&iota, &[])?.remove(0);
    large.eval()?;
    let before = memory::stats()?.active;
    let bytes = large.to_bytes()?;
    let after = memory::stats()?.active;
    assert_eq!(bytes.len(), 64 << 20);
    println!("{}", after.saturating_sub(before));
    Ok(())
}
