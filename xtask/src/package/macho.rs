//! macOS' shared libraries: what their load commands say.

use anyhow::Context;
use object::macho::{
    LC_BUILD_VERSION, LC_CODE_SIGNATURE, LC_LOAD_DYLIB, LC_REEXPORT_DYLIB, LC_RPATH, MachHeader64,
    RpathCommand,
};
use object::read::macho::{LoadCommandData, MachHeader};
use object::{Endianness, Object};

/// What the loader reads in a library.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) needed: Vec<String>,
    /// Where it looks for what it needs under `@rpath`.
    pub(crate) paths: Vec<String>,
    /// The oldest system that it runs on: major and minor version.
    pub(crate) oldest: Option<(u32, u32)>,
    /// Whether it is signed, as Apple silicon wants all code to be.
    pub(crate) signed: bool,
    /// Symbols that others may use.
    pub(crate) exported: Vec<String>,
}

/// Whether a file is one.
pub(crate) fn is(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xcf, 0xfa, 0xed, 0xfe])
}

pub(crate) fn read(bytes: &[u8]) -> anyhow::Result<Image> {
    let header = MachHeader64::<Endianness>::parse(bytes, 0)?;
    let endian = header.endian()?;
    let mut image = Image::default();
    let mut commands = header.load_commands(endian, bytes, 0)?;
    while let Some(command) = commands.next()? {
        one(endian, &command, &mut image)?;
    }
    let file = object::File::parse(bytes)?;
    for export in file.exports()? {
        let name = String::from_utf8_lossy(export.name()).into_owned();
        // C's names have an underscore in front.
        image.exported.push(name.trim_start_matches('_').to_owned());
    }
    Ok(image)
}

fn one(
    endian: Endianness,
    command: &LoadCommandData<'_, Endianness>,
    image: &mut Image,
) -> anyhow::Result<()> {
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    match command.cmd() {
        LC_LOAD_DYLIB | LC_REEXPORT_DYLIB => {
            let dylib = command.dylib()?.context("a library that is needed")?;
            let name = command.string(endian, dylib.dylib.name)?;
            image.needed.push(text(name));
        }
        LC_RPATH => {
            let rpath: &RpathCommand<Endianness> = command.data()?;
            image.paths.push(text(command.string(endian, rpath.path)?));
        }
        LC_BUILD_VERSION => {
            let version = command.build_version()?.context("a system's version")?;
            let oldest = version.minos.get(endian);
            image.oldest = Some((oldest >> 16, (oldest >> 8) & 0xff));
        }
        LC_CODE_SIGNATURE => image.signed = true,
        _ => {}
    }
    Ok(())
}
