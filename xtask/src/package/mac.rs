//! The libraries of an archive for Macs: MLX's wheel as Apple signed it, unchanged.

use std::path::Path;

use xshell::Shell;

use super::archive::Files;

/// They find each other in their own folder.
pub(crate) const LOADER_PATH: &str = "@loader_path";

/// Its wheel's platform, as pip knows it: for this system and newer ones.
pub(crate) const PLATFORM: &str = "macosx_14_0_arm64";

/// The oldest macOS, which MLX's wheel is for.
pub(crate) const OLDEST: (u32, u32) = (14, 0);

/// Adds MLX, what it loads, and its kernels. `mlx` is where its wheel is unpacked.
pub(crate) fn libraries(shell: &Shell, mlx: &Path, files: &mut Files) -> anyhow::Result<()> {
    for name in ["libjaccl.dylib", "libmlx.dylib", "mlx.metallib"] {
        let bytes = shell.read_binary_file(mlx.join("mlx/lib").join(name))?;
        files.insert(name.to_owned(), bytes);
    }
    Ok(())
}
