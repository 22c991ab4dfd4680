//! No byte of a signed package is free: whatever is cut off, added or forged is refused. Single bits are in `bits.rs`.

#![cfg(test)]

mod common;

use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use common::{Workshop, copy_without_name};
use northstar_npk::archive::ArchiveError;
use northstar_npk::key::PublicKey;
use northstar_npk::signature::SignatureError;
use northstar_npk::squashfs::Compression;
use northstar_npk::version::VersionError;
use northstar_npk::{OpenError, Package, StreamVerifier};

const MANIFEST: &str = "name: tamper\nversion: 1.2.3\nuid: 1000\ngid: 1000\n";

/// Where the small parts of the package are.
struct Parts {
    manifest: Range<u64>,
    signature: Range<u64>,
    comment: Range<u64>,
}

impl Parts {
    fn of(file: &File, package: &Package) -> Parts {
        let size = file.metadata().unwrap().len();
        let archive = package.archive();
        // A local header is 30 bytes and the name of the entry.
        let manifest = 30 + 13;
        let manifest = manifest..manifest + archive.manifest.len() as u64;
        let signature = manifest.end + 30 + 14;
        let signature_size = archive.signature.as_ref().unwrap().len() as u64;
        Parts {
            manifest,
            signature: signature..signature + signature_size,
            comment: size - archive.comment.len() as u64..size,
        }
    }
}

/// A package with a tree of one block.
fn small(workshop: &Workshop) -> std::path::PathBuf {
    let root = workshop.path("root");
    fs::create_dir(&root).unwrap();
    // Incompressible, so that the image is more than one block.
    let bytes: Vec<u8> = (0..2000_u32)
        .flat_map(|n| n.wrapping_mul(0x9e37_79b9).to_le_bytes())
        .collect();
    fs::write(root.join("file"), bytes).unwrap();
    workshop.pack(MANIFEST, Some(&root), Compression::None).path
}

fn stream(bytes: &[u8], key: &PublicKey) -> Result<(), OpenError> {
    let mut stream = StreamVerifier::new(Some(key.clone()));
    for piece in bytes.chunks(1000) {
        stream.update(piece)?;
    }
    stream.finish()
}

#[test]
fn the_stream_refuses_every_damaged_byte_it_can_judge() {
    let workshop = Workshop::new();
    let path = small(&workshop);
    let key = workshop.key.public();
    let mut bytes = fs::read(&path).unwrap();
    stream(&bytes, &key).unwrap();
    for at in 0..bytes.len() {
        bytes[at] ^= 1 << (at % 8);
        assert!(
            matches!(
                stream(&bytes, &key),
                Err(OpenError::Archive(_) | OpenError::Version(_) | OpenError::Hash { .. })
            ),
            "byte {at}"
        );
        bytes[at] ^= 1 << (at % 8);
    }
}

#[test]
fn every_truncation_is_refused() {
    let workshop = Workshop::new();
    let path = small(&workshop);
    let key = workshop.key.public();
    let file = copy_without_name(&path);
    let size = file.metadata().unwrap().len();
    let bytes = fs::read(&path).unwrap();
    for length in (0..size).rev() {
        file.set_len(length).unwrap();
        let error = Package::open(&file, Some(&key)).unwrap_err();
        assert!(
            matches!(error, OpenError::Archive(_)),
            "{length}: {error:?}"
        );
    }
    for length in (0..bytes.len()).step_by(61) {
        let error = stream(&bytes[..length], &key).unwrap_err();
        assert!(
            matches!(error, OpenError::Archive(_)),
            "{length}: {error:?}"
        );
    }
}

#[test]
fn everything_appended_and_put_in_front_is_refused() {
    let workshop = Workshop::new();
    let path = small(&workshop);
    let key = workshop.key.public();
    let bytes = fs::read(&path).unwrap();
    for filler in [0, b'P', 0xff] {
        let mut file = copy_without_name(&path);
        for length in 1..=4096 {
            file.write_all(&[filler]).unwrap();
            let error = Package::open(&file, Some(&key)).unwrap_err();
            assert!(
                matches!(error, OpenError::Archive(ArchiveError::NoEnd)),
                "{length}: {error:?}"
            );
        }
    }
    for count in [1, 30, 4096] {
        let mut changed = vec![0; count];
        changed.extend_from_slice(&bytes);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&changed).unwrap();
        let error = Package::open(&file, Some(&key)).unwrap_err();
        assert!(matches!(error, OpenError::Archive(_)), "{count}: {error:?}");
        let error = stream(&changed, &key).unwrap_err();
        assert!(matches!(error, OpenError::Archive(_)), "{count}: {error:?}");
    }
    // Twice the same archive, which general readers take for one.
    let twice = [bytes.as_slice(), &bytes].concat();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&twice).unwrap();
    let error = Package::open(&file, Some(&key)).unwrap_err();
    assert!(matches!(error, OpenError::Archive(_)), "{error:?}");
    let error = stream(&twice, &key).unwrap_err();
    assert!(matches!(error, OpenError::Archive(_)), "{error:?}");
}

/// Changes a content together with both of its checksums, as anyone can.
fn change(file: &File, content: Range<u64>, at: u64, to: &[u8]) {
    let mut before = vec![0; (content.end - content.start) as usize];
    file.read_exact_at(&mut before, content.start).unwrap();
    file.write_all_at(to, content.start + at).unwrap();
    let mut after = before.clone();
    file.read_exact_at(&mut after, content.start).unwrap();

    let (old, new) = (crc32fast::hash(&before), crc32fast::hash(&after));
    let mut all = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut all, 0).unwrap();
    let mut found = 0;
    for position in 0..all.len() - 4 {
        if all[position..position + 4] == old.to_le_bytes() {
            file.write_all_at(&new.to_le_bytes(), position as u64)
                .unwrap();
            found += 1;
        }
    }
    assert_eq!(found, 2, "checksums");
}

#[test]
fn a_changed_manifest_with_matching_checksums_is_refused_by_its_hash() {
    let workshop = Workshop::new();
    let path = small(&workshop);
    let file = copy_without_name(&path);
    let package = Package::open(&file, None).unwrap();
    let parts = Parts::of(&file, &package);
    change(&file, parts.manifest, 6, b"forged");
    let error = Package::open(&file, Some(&workshop.key.public())).unwrap_err();
    assert!(matches!(
        error,
        OpenError::Hash {
            part: "manifest.yaml"
        }
    ));
    // Without a key nothing is authenticated, and the forgery is what the package says.
    let forged = Package::open(&file, None).unwrap();
    assert_eq!(forged.container().to_string(), "forged:1.2.3");
}

#[test]
fn a_changed_signature_with_matching_checksums_is_refused() {
    let workshop = Workshop::new();
    let path = small(&workshop);
    let file = copy_without_name(&path);
    let package = Package::open(&file, None).unwrap();
    let parts = Parts::of(&file, &package);
    change(&file, parts.signature, 15, b"0123456789");
    let error = Package::open(&file, Some(&workshop.key.public())).unwrap_err();
    assert!(matches!(
        error,
        OpenError::Signature(SignatureError::Invalid)
    ));
}

#[test]
fn another_format_version_is_refused() {
    let workshop = Workshop::new();
    let path = small(&workshop);
    let key = workshop.key.public();
    let file = copy_without_name(&path);
    let package = Package::open(&file, Some(&key)).unwrap();
    let parts = Parts::of(&file, &package);
    // A version that loads, but is not the one that was signed.
    file.write_all_at(b"version: 0.9.1\n", parts.comment.start)
        .unwrap();
    let error = Package::open(&file, Some(&key)).unwrap_err();
    assert!(matches!(
        error,
        OpenError::Hash {
            part: "archive comment"
        }
    ));
    file.write_all_at(b"version: 1.0.0\n", parts.comment.start)
        .unwrap();
    let error = Package::open(&file, Some(&key)).unwrap_err();
    assert!(matches!(
        error,
        OpenError::Version(VersionError::Unsupported { ref found }) if found.to_string() == "1.0.0"
    ));
    assert!(error.to_string().contains("0.9.2"));
}

#[test]
fn an_empty_and_a_foreign_file_are_refused() {
    let empty = tempfile::tempfile().unwrap();
    let error = Package::open(&empty, None).unwrap_err();
    assert!(matches!(error, OpenError::Archive(ArchiveError::NoEnd)));

    let directory = tempfile::tempdir().unwrap();
    let file = File::open(directory.path()).unwrap();
    let error = Package::open(&file, None).unwrap_err();
    assert!(matches!(
        error,
        OpenError::Archive(ArchiveError::Read { source, .. })
            if source.kind() == io::ErrorKind::IsADirectory
    ));
}
