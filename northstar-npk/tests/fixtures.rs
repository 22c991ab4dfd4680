//! Packages of the reference packer load here, and only with the right key.

#![cfg(test)]

use std::fs::File;
use std::path::{Path, PathBuf};

use northstar_npk::archive::{Archive, Layout};
use northstar_npk::key::{PublicKey, SecretKey};
use northstar_npk::signature::SignatureError;
use northstar_npk::{OpenError, Package, StreamVerifier, verity};

const SIGNED: [(&str, &str, u64); 6] = [
    ("app-gzip.npk", "fixture-app:0.0.1", 1),
    ("resource-gzip.npk", "fixture-resource:0.1.0", 3),
    ("resource-gzip-0.9.1.npk", "fixture-resource:0.1.0", 3),
    ("resource-lzo.npk", "fixture-resource:0.1.0", 4),
    ("resource-xz.npk", "fixture-resource:0.1.0", 1),
    ("resource-zstd.npk", "fixture-resource:0.1.0", 2),
];
const UNSIGNED: &str = "resource-unsigned.npk";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn open(name: &str) -> File {
    File::open(fixture(name)).unwrap()
}

fn key() -> PublicKey {
    PublicKey::read(&fixture("fixture.pub")).unwrap()
}

#[test]
fn the_secret_key_belongs_to_the_public_one() {
    let secret = SecretKey::read(&fixture("fixture.key")).unwrap();
    assert_eq!(secret.public(), key());
}

#[test]
fn signed_packages_open_with_their_key() {
    for (name, container, data_blocks) in SIGNED {
        let file = open(name);
        let package = Package::open(&file, Some(&key())).unwrap();
        assert_eq!(package.container().to_string(), container, "{name}");
        let image = package.image();
        let verity = image.verity.as_ref().unwrap();
        assert_eq!(verity.data_blocks, data_blocks, "{name}");
        assert_eq!(image.squashfs_size, data_blocks * 4096, "{name}");
        assert_eq!(image.size, verity.total_blocks() * 4096, "{name}");
        assert_eq!(verity.salt.len(), 32, "{name}");
        verity::verify_image(&file, image).unwrap();
    }
}

#[test]
fn both_header_layouts_are_told_apart() {
    let read = |name| Archive::read(&open(name)).unwrap().layout;
    assert_eq!(read("resource-gzip.npk"), Layout::Current);
    assert_eq!(read("resource-gzip-0.9.1.npk"), Layout::Legacy);
    let version = |name| {
        Package::open(&open(name), None)
            .unwrap()
            .format_version()
            .to_string()
    };
    assert_eq!(version("resource-gzip.npk"), "0.9.2");
    assert_eq!(version("resource-gzip-0.9.1.npk"), "0.9.1");
}

#[test]
fn another_key_is_refused() {
    let other = SecretKey::generate().unwrap().public();
    for (name, ..) in SIGNED {
        let error = Package::open(&open(name), Some(&other)).unwrap_err();
        assert!(
            matches!(error, OpenError::Signature(SignatureError::Invalid)),
            "{name}: {error}"
        );
    }
}

#[test]
fn the_unsigned_package_opens_only_without_a_key() {
    let error = Package::open(&open(UNSIGNED), Some(&key())).unwrap_err();
    assert!(matches!(error, OpenError::Unsigned));

    let package = Package::open(&open(UNSIGNED), None).unwrap();
    assert_eq!(package.container().to_string(), "fixture-resource:0.1.0");
    assert_eq!(package.hashes(), None);
    assert_eq!(package.image().verity, None);
    assert_eq!(package.image().squashfs_size, 12288);
    let error = verity::verify_image(&open(UNSIGNED), package.image()).unwrap_err();
    assert!(matches!(error, verity::VerityError::Unsigned));
}

#[test]
fn every_package_passes_as_a_stream_of_any_pieces() {
    for (name, ..) in SIGNED {
        let bytes = std::fs::read(fixture(name)).unwrap();
        for piece in [1, 7, 4096, usize::MAX] {
            let mut stream = StreamVerifier::new(Some(key()));
            let mut image = None;
            let mut position = 0;
            for bytes in bytes.chunks(piece.min(bytes.len())) {
                stream.update(bytes).unwrap();
                image = image.or_else(|| stream.image());
                if let Some(image) = &mut image {
                    image.update(position, bytes);
                }
                position += bytes.len() as u64;
            }
            assert!(stream.image().is_none());
            stream.finish().unwrap();
            let file = open(name);
            let package = Package::open(&file, Some(&key())).unwrap();
            image.unwrap().verify(&file, package.image()).unwrap();
        }
    }
    let mut stream = StreamVerifier::new(None);
    stream
        .update(&std::fs::read(fixture(UNSIGNED)).unwrap())
        .unwrap();
    stream.finish().unwrap();
}
