//! Archives that are no wheels, or were never meant well.

use std::io::{Cursor, Write};

use proptest::prelude::*;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime};

use super::*;

const SMALL: Limit = Limit {
    bytes: 1 << 20,
    entries: 50,
};

fn options(method: CompressionMethod) -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(method)
        .last_modified_time(DateTime::default())
}

/// An archive of these files, every other one compressed.
fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (index, (name, bytes)) in files.iter().enumerate() {
        let methods = [CompressionMethod::Stored, CompressionMethod::Deflated];
        writer
            .start_file(*name, options(methods[index % 2]))
            .unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Unpacks into `tree` in a directory of its own, and returns that with the outcome.
fn unpacked(bytes: &[u8]) -> (tempfile::TempDir, Result<(), String>) {
    let dir = tempfile::tempdir().unwrap();
    let outcome = unpack(Cursor::new(bytes), &dir.path().join("tree"), SMALL);
    (dir, outcome)
}

/// The size of all files; there is nothing but files and directories, and nothing beside the tree.
fn size(dir: &Path) -> u64 {
    let mut total = 0;
    let mut dirs = vec![dir.to_owned()];
    for entry in fs::read_dir(dir).unwrap() {
        assert_eq!(entry.unwrap().file_name(), "tree");
    }
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let found = fs::symlink_metadata(entry.path()).unwrap();
            match found.is_dir() {
                true => dirs.push(entry.path()),
                false => {
                    assert!(found.is_file(), "{}", entry.path().display());
                    total += found.len();
                }
            }
        }
    }
    total
}

fn refused(bytes: &[u8], why: &str) {
    let (dir, outcome) = unpacked(bytes);
    let error = outcome.unwrap_err();
    assert!(error.contains(why), "{error}");
    assert!(size(dir.path()) <= SMALL.bytes);
}

#[test]
fn files_come_out_as_they_went_in() {
    let files: [(&str, &[u8]); 3] = [
        ("mlx/lib/libmlx.so", b"library"),
        ("mlx/include/mlx.h", &[b'/'; 5000]),
        ("mlx.libs/empty", b""),
    ];
    let (dir, outcome) = unpacked(&archive(&files));
    outcome.unwrap();
    for (name, bytes) in files {
        assert_eq!(fs::read(dir.path().join("tree").join(name)).unwrap(), bytes);
    }
}

#[test]
fn a_name_that_leads_out_of_the_tree_is_refused() {
    let names = [
        "../out",
        "a/../../out",
        "/emily-out",
        "./../out",
        "..",
        "a\\..\\out",
        "a\0b",
        "a\nb",
    ];
    for name in names {
        refused(&archive(&[(name, b"x")]), "is no plain relative path");
    }
}

#[test]
fn a_link_is_refused_and_nothing_is_written_through_one() {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = options(CompressionMethod::Stored);
    writer.add_symlink("lib", "/tmp", options).unwrap();
    writer.start_file("lib/emily-out", options).unwrap();
    let bytes = writer.finish().unwrap().into_inner();
    refused(&bytes, "is neither a file nor a directory");
}

#[test]
fn what_is_there_is_not_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, victim) = (dir.path().join("tree"), dir.path().join("victim"));
    fs::create_dir(&tree).unwrap();
    fs::write(&victim, "precious").unwrap();
    std::os::unix::fs::symlink(&victim, tree.join("lib")).unwrap();
    let bytes = archive(&[("lib", b"planted")]);
    assert!(unpack(Cursor::new(bytes), &tree, SMALL).is_err());
    assert_eq!(fs::read_to_string(victim).unwrap(), "precious");
}

#[test]
fn more_than_a_wheel_may_hold_is_refused_as_it_comes() {
    let zeros = vec![0; 8 << 20];
    for files in [&[("a", &zeros[..])][..], &[("b", b"x"), ("a", &zeros)]] {
        refused(&archive(files), "is over the size");
    }
    let names: Vec<String> = (0..60).map(|index| index.to_string()).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (&**name, &b"x"[..])).collect();
    refused(&archive(&files), "it has 60 entries");
}

#[test]
fn a_wheel_that_was_cut_short_is_refused() {
    let bytes = archive(&[("mlx/lib/libmlx.so", &[7; 3000]), ("b", &[8; 3000])]);
    for length in (0..bytes.len()).step_by(7) {
        assert!(unpacked(&bytes[..length]).1.is_err(), "{length}");
    }
}

/// The most memory that this process had, in KiB.
#[cfg(target_os = "linux")]
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_bytes_are_an_error_or_files_in_the_tree(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let (dir, _any) = unpacked(&bytes);
        prop_assert!(size(dir.path()) <= SMALL.bytes);
    }

    /// A byte here and there is another: lengths, offsets, counts, names, methods, compressed data.
    #[test]
    fn an_archive_with_a_few_other_bytes_is_an_error_or_files_in_the_tree(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        cuts in prop::bool::weighted(0.2),
    ) {
        let zeros = [0; 40_000];
        let mut bytes = archive(&[("a/b", b"stored"), ("a/c", &zeros), ("d", b"e"), ("f/g/h", &zeros[..99])]);
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if cuts {
            bytes.truncate(cut.index(bytes.len()));
        }
        #[cfg(target_os = "linux")]
        let before = peak();
        let (dir, _any) = unpacked(&bytes);
        prop_assert!(size(dir.path()) <= SMALL.bytes);
        #[cfg(target_os = "linux")]
        {
            // Other tests of this process take some too.
            let grown = peak().saturating_sub(before);
            prop_assert!(grown < 64 << 10, "{grown} KiB");
        }
    }

    /// Any names, of few letters, so that they meet.
    #[test]
    fn files_of_any_names_stay_in_the_tree(names in prop::collection::vec("[a./\\\\A]{0,6}", 0..8)) {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for name in &names {
            // The writer refuses a name twice.
            if writer.start_file(name.as_str(), options(CompressionMethod::Deflated)).is_ok() {
                writer.write_all(name.as_bytes()).unwrap();
            }
        }
        let bytes = writer.finish().unwrap().into_inner();
        let (dir, _any) = unpacked(&bytes);
        prop_assert!(size(dir.path()) <= SMALL.bytes);
    }
}
