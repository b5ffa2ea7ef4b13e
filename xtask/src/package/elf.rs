//! Linux's shared libraries: what they need, where they look for it, and how to change that in place.
//!
//! A name is overwritten where it stands, by one that is not longer, so that nothing else moves.

use anyhow::{Context, ensure};
use object::elf::{DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_SONAME, STB_WEAK};
use object::read::elf::{Dyn, ElfFile, ElfFile64};
use object::{Endianness, Object, ObjectSection, ObjectSymbol};

type File<'data> = ElfFile64<'data, Endianness>;

/// What the loader reads in a library.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dynamic {
    pub(crate) soname: Option<String>,
    pub(crate) needed: Vec<String>,
    /// DT_RPATH and DT_RUNPATH.
    pub(crate) paths: Vec<String>,
    /// Symbols that it defines.
    pub(crate) defined: Vec<String>,
    /// Symbols that it needs and that carry no library's version: those of no system library.
    pub(crate) wanted: Vec<String>,
    /// Symbols' versions that it needs, as `GLIBC_2.34`.
    pub(crate) versions: Vec<String>,
    /// Whether the linker's symbols or debugging information are left in it.
    pub(crate) unstripped: bool,
}

/// Whether a file is one.
pub(crate) fn is(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x7fELF")
}

pub(crate) fn read(bytes: &[u8]) -> anyhow::Result<Dynamic> {
    let file: File<'_> = ElfFile::parse(bytes)?;
    let mut dynamic = Dynamic::default();
    for (tag, name) in strings(&file, bytes)? {
        let name = String::from_utf8_lossy(name).into_owned();
        match tag {
            DT_SONAME => dynamic.soname = Some(name),
            DT_NEEDED => dynamic.needed.push(name),
            _ => dynamic.paths.push(name),
        }
    }
    symbols(&file, bytes, &mut dynamic)?;
    let debug = |name: &str| name == ".symtab" || name.starts_with(".debug");
    dynamic.unstripped = file.sections().any(|s| s.name().is_ok_and(debug));
    Ok(dynamic)
}

/// Overwrites names among those that the loader reads, each of `(old, new)`: also where a symbol's
/// version says which library has it.
///
/// # Errors
/// When one is longer than what it replaces.
pub(crate) fn rename(bytes: &mut [u8], names: &[(&str, &str)]) -> anyhow::Result<()> {
    let (start, length) = {
        let file: File<'_> = ElfFile::parse(&*bytes)?;
        let sections = file.elf_section_table();
        let dynamic = sections.dynamic(file.endian(), &*bytes)?;
        let (_, link) = dynamic.context(NO_DYNAMIC)?;
        let table = file.section_by_index(link)?.file_range();
        table.context("the names are in the file")?
    };
    let table = &mut bytes[usize::try_from(start)?..][..usize::try_from(length)?];
    for string in table.split_mut(|byte| *byte == 0) {
        let Some((old, new)) = names.iter().find(|(old, _)| *string == *old.as_bytes()) else {
            continue;
        };
        ensure!(new.len() <= old.len(), "{new} is longer than {old}");
        string.fill(0);
        string[..new.len()].copy_from_slice(new.as_bytes());
    }
    Ok(())
}

const NO_DYNAMIC: &str = "a shared library has a dynamic section";

/// The entries of the dynamic section that are names and paths.
fn strings<'data>(
    file: &File<'data>,
    bytes: &'data [u8],
) -> anyhow::Result<Vec<(u32, &'data [u8])>> {
    let (endian, sections) = (file.endian(), file.elf_section_table());
    let (entries, link) = sections.dynamic(endian, bytes)?.context(NO_DYNAMIC)?;
    let table = sections.strings(endian, bytes, link)?;
    let mut found = Vec::new();
    for entry in entries {
        let Some(tag @ (DT_SONAME | DT_NEEDED | DT_RPATH | DT_RUNPATH)) = entry.tag32(endian)
        else {
            continue;
        };
        found.push((tag, entry.string(endian, table)?));
    }
    Ok(found)
}

fn symbols(file: &File<'_>, bytes: &[u8], dynamic: &mut Dynamic) -> anyhow::Result<()> {
    let (endian, sections) = (file.endian(), file.elf_section_table());
    let versions = sections.versions(endian, bytes)?;
    for symbol in file.dynamic_symbols() {
        let name = symbol.name()?.to_owned();
        if !symbol.is_undefined() {
            dynamic.defined.push(name);
            continue;
        }
        let version = match &versions {
            None => None,
            Some(table) => {
                let index = table.version_index(endian, symbol.index());
                table.version(index)?.map(|version| version.name())
            }
        };
        let raw = symbol.elf_symbol();
        match version {
            Some(version) => {
                let version = String::from_utf8_lossy(version).into_owned();
                dynamic.versions.push(version);
            }
            None if raw.st_bind() == STB_WEAK || name.is_empty() => {}
            None => dynamic.wanted.push(name),
        }
    }
    dynamic.versions.sort();
    dynamic.versions.dedup();
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// This program: it needs the C library, by symbols' versions too.
    fn program() -> Vec<u8> {
        std::fs::read("/proc/self/exe").unwrap()
    }

    #[test]
    fn what_a_program_needs_is_read() {
        assert!(is(&program()));
        let dynamic = read(&program()).unwrap();
        assert!(
            dynamic.needed.contains(&"libc.so.6".to_owned()),
            "{dynamic:?}"
        );
        assert!(
            dynamic
                .versions
                .iter()
                .any(|version| version.starts_with("GLIBC_"))
        );
        assert!(dynamic.unstripped);
    }

    #[test]
    fn a_name_is_replaced_in_place_by_a_shorter_one() {
        let mut bytes = program();
        let length = bytes.len();
        rename(&mut bytes, &[("libc.so.6", "libc.so")]).unwrap();
        assert_eq!(bytes.len(), length);
        let needed = read(&bytes).unwrap().needed;
        assert!(
            needed.contains(&"libc.so".to_owned()) && !needed.contains(&"libc.so.6".to_owned())
        );
    }

    #[test]
    fn a_longer_name_is_refused() {
        let error = rename(&mut program(), &[("libc.so.6", "libc.so.600")]).unwrap_err();
        assert_eq!(error.to_string(), "libc.so.600 is longer than libc.so.6");
    }
}
