//! What tests of threads do not show by running: the orders in which threads may go, and undefined behaviour.

use xshell::{Shell, cmd};

use crate::shell;

/// The tests that touch no MLX: Miri runs no foreign code.
const WITHOUT_MLX: [&str; 5] = [
    "worker::queue",
    "worker::slot",
    "worker::turn",
    "reaper",
    "host::pool",
];

pub(crate) fn check(shell: &Shell) -> anyhow::Result<()> {
    shell::step("schedules");
    let schedules = cmd!(
        shell,
        "cargo test --quiet -p emily-engine --features schedules --lib -- schedules --nocapture"
    );
    shell::show(schedules.env("EMILY_SCHEDULES", "100000"))?;
    if shell::ask(cmd!(shell, "cargo +nightly miri --version")).is_none() {
        println!(
            "not run: Miri is not there; rustup toolchain install nightly --component miri,rust-src"
        );
        return Ok(());
    }
    shell::step("Miri");
    let miri = cmd!(
        shell,
        "cargo +nightly miri test --quiet -p emily-engine --lib -- {WITHOUT_MLX...}"
    );
    // Threads that live as long as the process are no leak, and the number of cores is asked for: with one there
    // would be no pool.
    let flags = "-Zmiri-disable-isolation -Zmiri-ignore-leaks -Zmiri-num-cpus=2";
    shell::show(miri.env("MIRIFLAGS", flags))
}
