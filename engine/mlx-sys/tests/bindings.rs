//! A check that needs no libclang; `mlx-bindings --check` makes them anew.

#[test]
fn the_bindings_are_from_the_locked_headers() {
    let source = include_str!("../src/bindings.rs").lines().nth(1).unwrap();
    let checksum = source.rsplit(' ').next().unwrap();
    let lock = include_str!("../upstream/Cargo.lock");
    let locked = lock
        .split("[[package]]")
        .find(|package| package.contains("name = \"mlx-sys\""));
    assert!(
        locked.is_some_and(|package| package.contains(&format!("checksum = \"{checksum}\""))),
        "src/bindings.rs is stale: cargo run -p mlx-sys --features bindgen"
    );
}
