//! macOS' shared libraries: what their load commands say.

use anyhow::Context;
use object::Endianness;
use object::macho::{
    DylibCommand, LC_BUILD_VERSION, LC_CODE_SIGNATURE, LC_ID_DYLIB, LC_LOAD_DYLIB,
    LC_LOAD_WEAK_DYLIB, LC_REEXPORT_DYLIB, LC_RPATH, LC_SYMTAB, MachHeader64, N_EXT, Nlist64,
    RpathCommand,
};
use object::read::macho::{LoadCommandData, MachHeader, Nlist};

/// What the loader reads in a library.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Image {
    /// What it calls itself, as those that are linked with it call it.
    pub(crate) name: String,
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
        one(endian, bytes, &command, &mut image)?;
    }
    Ok(image)
}

fn one(
    endian: Endianness,
    bytes: &[u8],
    command: &LoadCommandData<'_, Endianness>,
    image: &mut Image,
) -> anyhow::Result<()> {
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    match command.cmd() {
        LC_LOAD_DYLIB | LC_LOAD_WEAK_DYLIB | LC_REEXPORT_DYLIB => {
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
        LC_SYMTAB => {
            let table = command.symtab()?.context("a table of symbols")?;
            let table = table.symbols::<MachHeader64<Endianness>, _>(endian, bytes)?;
            let external = |symbol: &&Nlist64<Endianness>| {
                symbol.n_type() & N_EXT != 0 && !symbol.is_stab() && !symbol.is_undefined()
            };
            for symbol in table.iter().filter(external) {
                let name = text(symbol.name(endian, table.strings())?);
                // C's names have an underscore in front.
                image.exported.push(name.trim_start_matches('_').to_owned());
            }
        }
        LC_ID_DYLIB => {
            let dylib: &DylibCommand<Endianness> = command.data()?;
            image.name = text(command.string(endian, dylib.dylib.name)?);
        }
        LC_CODE_SIGNATURE => image.signed = true,
        _ => {}
    }
    Ok(())
}
