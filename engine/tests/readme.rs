//! The README's Rust, which runs here as it stands there.

#[test]
fn the_readme_s_block_runs() -> emily_spec::Result<()> {
    use emily_engine::{Config, Worker};
    use emily_spec::{DType, Op, TensorType, Unary};

    let worker = Worker::start(Config::default())?;
    let ty = TensorType::new(DType::F32, [2]);
    let x = worker.from_bytes(ty, &[1.5f32, -2.5].map(f32::to_le_bytes).concat())?;
    let y = worker.apply(&Op::from(Unary::Round), &[x])?.remove(0);
    assert_eq!(
        y.read()?.bytes(),
        [2f32, -3.0].map(f32::to_le_bytes).concat()
    );
    Ok(())
}

#[test]
fn that_block_is_the_one_above() {
    let dense = |text: &str| text.split_whitespace().collect::<String>();
    let readme = include_str!("../../README.md");
    let (_before, block) = readme.split_once("```rust\n").expect("Rust in the README");
    let (block, _after) = block.split_once("```").expect("its end");
    assert!(
        dense(include_str!("readme.rs")).contains(&dense(block)),
        "{block}"
    );
}
