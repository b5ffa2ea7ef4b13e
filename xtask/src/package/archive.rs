//! Archives whose bytes depend on nothing but what is in them.

use std::collections::BTreeMap;
use std::io::Read;

use anyhow::Context;
use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};
use tar::{EntryType, Header};

/// The files of an archive by name, which is a path relative to where it is unpacked.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// A gzip of a tar: sorted, of one owner and one time.
pub(crate) fn write(files: &Files) -> anyhow::Result<Vec<u8>> {
    let gzip = GzBuilder::new().write(Vec::new(), Compression::best());
    let mut tar = tar::Builder::new(gzip);
    for (name, bytes) in files {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        tar.append_data(&mut header, name, bytes.as_slice())
            .with_context(|| format!("writing {name}"))?;
    }
    Ok(tar.into_inner()?.finish()?)
}

/// What is in such an archive.
pub(crate) fn read(bytes: &[u8]) -> anyhow::Result<Files> {
    let mut files = Files::new();
    for entry in tar::Archive::new(GzDecoder::new(bytes)).entries()? {
        let mut entry = entry?;
        let name = entry.path()?.to_string_lossy().into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        files.insert(name, bytes);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_the_same_files_make_the_same_bytes() {
        let (a, b) = (("b/c".to_owned(), vec![1; 70_000]), ("a".into(), vec![2]));
        let files = Files::from([a.clone(), b.clone()]);
        let bytes = write(&files).unwrap();
        assert_eq!(read(&bytes).unwrap(), files);
        assert_eq!(bytes, write(&Files::from([b, a])).unwrap());
        // gzip's own time, name and system.
        assert_eq!(bytes[3..8], [0; 5]);
        assert_eq!(bytes[9], 255);
    }
}
