//! `cargo xtask test`: every test there is.

use xshell::{Shell, cmd};

use crate::{beam, shell, slices};

pub(crate) fn run(shell: &Shell) -> anyhow::Result<()> {
    let beam = beam::prepare(shell)?;
    let mut layers = beam.layers().to_vec();
    let models = slices::prepare(shell, &beam)?;
    match &models {
        None => layers.push("slices"),
        Some(reason) => println!("not run: the models: {reason}"),
    }
    shell::step("the workspace's tests and every conformance trial");
    let report = shell::target_dir().join("conformance");
    shell.set_var("EMILY_CONFORMANCE_REPORT", &report);
    shell.set_var("EMILY_CONFORMANCE_REQUIRE", layers.join(","));
    shell::show(cmd!(shell, "cargo test --quiet --workspace"))?;
    beam.test(shell)?;
    if models.is_none() {
        slices::test(shell)?;
    }
    Ok(())
}
