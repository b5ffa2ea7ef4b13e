//! Loads MLX, adds 1 and 1 on the preferred device, and prints which that is.

use emily_engine::{Config, Worker};
use emily_spec::{Arithmetic, DType, Error, ErrorKind, Op, Result, Shape, TensorType};

fn main() -> Result<()> {
    let worker = Worker::start(Config::default())?;
    let ty = TensorType::new(DType::S32, Shape::scalar());
    let one = worker.from_bytes(ty, &1i32.to_le_bytes())?;
    let two = worker.apply(&Op::from(Arithmetic::Add), &[one.clone(), one])?;
    if two[0].read()?.bytes() != 2i32.to_le_bytes() {
        return Err(Error::new(ErrorKind::Internal, "1 + 1 is not 2"));
    }
    println!("{}, MLX {}", worker.device(), emily_engine::version());
    Ok(())
}
