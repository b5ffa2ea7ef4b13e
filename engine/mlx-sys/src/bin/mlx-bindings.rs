//! Makes `src/bindings.rs` from mlx-c's headers, or with `--check` says whether
//! it is what they make.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail, ensure};

const BINDINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/bindings.rs");
const LOCK: &str = include_str!("../../upstream/Cargo.lock");

/// Stands in for mlx-c's half.h, which has these types on Arm only.
const HALF: &str = "\
#define MLX_HALF_H
#define HAS_FLOAT16
#define HAS_BFLOAT16
typedef unsigned short float16_t;
typedef unsigned short bfloat16_t;
";

/// The items whose form the C headers leave to the platform, for every platform.
const PORTABLE: &str = "\
/// C's `FILE`, which is only ever pointed at.
#[repr(C)]
pub struct FILE {
    _opaque: [u8; 0],
}
/// The bits of an IEEE half.
#[repr(transparent)]
#[derive(Debug, Default, Copy, Clone)]
pub struct float16_t(pub u16);
/// The bits of a bfloat16.
pub type bfloat16_t = u16;";

/// `mlx_pad`'s mode, as bindgen writes it and as mlx-rs passes it whatever the platform: a C char is
/// signed on x86-64 and on Macs, and unsigned on arm64 Linux.
const PAD_MODE: [&str; 2] = [
    "pad_value: mlx_array,
        mode: *const ::std::os::raw::c_char,
        s: mlx_stream,
    ) -> ::std::os::raw::c_int;
    pub fn mlx_pad_symmetric(",
    "pad_value: mlx_array,
        mode: *const i8,
        s: mlx_stream,
    ) -> ::std::os::raw::c_int;
    pub fn mlx_pad_symmetric(",
];

fn main() -> anyhow::Result<()> {
    let fresh = generate()?;
    match std::env::args().nth(1).as_deref() {
        None => fs::write(BINDINGS, fresh).context(BINDINGS),
        Some("--check") => {
            ensure!(
                fs::read_to_string(BINDINGS)? == fresh,
                "src/bindings.rs is stale: cargo run -p mlx-sys --features bindgen"
            );
            Ok(())
        }
        Some(other) => bail!("unknown argument `{other}`: there is only --check"),
    }
}

fn generate() -> anyhow::Result<String> {
    let mlx_c = Path::new(env!("MLX_C_ROOT"));
    let mut headers: Vec<_> = mlx_c
        .join("mlx/c")
        .read_dir()?
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_, _>>()?;
    headers.retain(|name| name.ends_with(".h"));
    headers.sort();
    let mut input = HALF.to_owned();
    for header in headers {
        input += &format!("#include \"mlx/c/{header}\"\n");
    }

    let checksum = LOCK
        .split("[[package]]")
        .find(|package| package.contains("name = \"mlx-sys\""))
        .and_then(|package| package.split("checksum = \"").nth(1)?.split('"').next())
        .context("upstream/Cargo.lock has no checksum of mlx-sys")?;

    let bindings = bindgen::builder()
        .header_contents("mlx-c.h", &input)
        .clang_arg(format!("-I{}", mlx_c.display()))
        .allowlist_item("_?mlx_.*")
        // All else is C's library, and differs by platform.
        .allowlist_recursively(false)
        .raw_line(PORTABLE)
        .merge_extern_blocks(true)
        .generate_comments(false)
        .layout_tests(false)
        .disable_header_comment()
        .formatter(bindgen::Formatter::Prettyplease)
        .generate()?
        .to_string();
    let [bindgens, ours] = PAD_MODE;
    ensure!(
        bindings.contains(bindgens),
        "mlx_pad is not declared as it was: see whether mlx-rs passes it a c_char now"
    );
    let bindings = bindings.replace(bindgens, ours);
    Ok(format!(
        "// Made by `cargo run -p mlx-sys --features bindgen`; not edited by hand.\n\
         // Source: mlx-c inside the published mlx-sys, checksum {checksum}\n\n{bindings}"
    ))
}
