//! Signing apart from packing, with keys that are here or elsewhere.

#![cfg(test)]

mod common;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use common::Workshop;
use northstar_manifest::Manifest;
use northstar_npk::archive::ArchiveError;
use northstar_npk::key::{PublicKey, SecretKey};
use northstar_npk::pack::{PackOptions, pack};
use northstar_npk::sign::{SignError, attach_signature, sign, signed_bytes};
use northstar_npk::signature::SignatureError;
use northstar_npk::squashfs::Compression;
use northstar_npk::verity::{VerityError, verify_image};
use northstar_npk::{OpenError, Package};

const MANIFEST: &str = "name: signed\nversion: 1.2.3\nuid: 1000\ngid: 1000\n";

/// A tree whose image needs a hash tree of two levels.
fn root(workshop: &Workshop) -> PathBuf {
    let root = workshop.path("root");
    fs::create_dir(&root).unwrap();
    let mut state = 1_u32;
    let noise: Vec<u8> = (0..700_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    fs::write(root.join("noise"), noise).unwrap();
    root
}

fn unsigned(workshop: &Workshop, root: &Path) -> PathBuf {
    let manifest = Manifest::from_yaml(MANIFEST.as_bytes()).unwrap();
    let options = PackOptions {
        root: Some(root),
        ..PackOptions::new(&manifest)
    };
    let path = workshop.path("unsigned.npk");
    pack(&options, &path).unwrap();
    path
}

fn verify(path: &Path, key: &PublicKey) {
    let file = File::open(path).unwrap();
    let package = Package::open(&file, Some(key)).unwrap();
    verify_image(&file, package.image()).unwrap();
    package.archive().check_image(&file).unwrap();
}

#[test]
fn a_package_signed_later_is_the_one_signed_at_once() {
    let workshop = Workshop::new();
    let root = root(&workshop);
    let expected = workshop.pack(MANIFEST, Some(&root), Compression::Gzip);
    let unsigned = unsigned(&workshop, &root);
    let file = File::open(&unsigned).unwrap();
    let out = workshop.path("out.npk");

    let signed = sign(&file, &workshop.key, &out, None).unwrap();
    assert_eq!(signed.path, out);
    assert_eq!(signed.container, expected.container);
    assert_eq!(signed.size, expected.size);
    assert_eq!(Some(signed.root_hash), expected.root_hash);
    let expected = fs::read(&expected.path).unwrap();
    assert!(fs::read(&out).unwrap() == expected);

    // The same in two steps, which is how a key elsewhere does it.
    let signature = workshop.key.sign(&signed_bytes(&file).unwrap());
    let out = workshop.path("detached.npk");
    attach_signature(&file, &signature, &workshop.key.public(), &out).unwrap();
    assert!(fs::read(&out).unwrap() == expected);
}

#[test]
fn signed_bytes_are_the_first_document_of_the_signature() {
    let workshop = Workshop::new();
    let root = root(&workshop);
    let packed = workshop.pack(MANIFEST, Some(&root), Compression::Gzip);
    let file = File::open(&packed.path).unwrap();
    let package = Package::open(&file, Some(&workshop.key.public())).unwrap();
    let document = package.hashes().unwrap().to_document();
    assert_eq!(signed_bytes(&file).unwrap(), document.as_bytes());
    let unsigned = File::open(unsigned(&workshop, &root)).unwrap();
    assert_eq!(signed_bytes(&unsigned).unwrap(), document.as_bytes());
}

#[test]
fn resigning_replaces_the_signature_alone() {
    let workshop = Workshop::new();
    let root = root(&workshop);
    let packed = workshop.pack(MANIFEST, Some(&root), Compression::Gzip);
    let before = fs::read(&packed.path).unwrap();
    let other = SecretKey::generate().unwrap();
    let file = File::open(&packed.path).unwrap();
    // Onto the file that is read, by way of its directory.
    let signed = sign(&file, &other, workshop.directory.path(), None).unwrap();
    assert_eq!(signed.path, packed.path);
    verify(&packed.path, &other.public());
    let file = File::open(&packed.path).unwrap();
    assert!(matches!(
        Package::open(&file, Some(&workshop.key.public())),
        Err(OpenError::Signature(SignatureError::Invalid))
    ));
    // And back again.
    sign(&file, &workshop.key, &packed.path, None).unwrap();
    assert!(fs::read(&packed.path).unwrap() == before);
}

#[test]
fn reference_packages_are_signed_with_the_tree_they_have() {
    let workshop = Workshop::new();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for name in ["resource-gzip", "resource-gzip-0.9.1", "resource-unsigned"] {
        let file = File::open(fixtures.join(format!("{name}.npk"))).unwrap();
        let package = Package::open(&file, None).unwrap();
        let out = workshop.path(name);
        let signed = sign(&file, &workshop.key, &out, None).unwrap();
        verify(&out, &workshop.key.public());
        if let Some(hashes) = package.hashes() {
            assert_eq!(hashes.verity_root, signed.root_hash, "{name}");
        }
        let file = File::open(&out).unwrap();
        let signed = Package::open(&file, None).unwrap();
        assert_eq!(signed.archive().manifest, package.archive().manifest);
    }
}

/// Attaching fails, and leaves the destination as it was.
fn refused(file: &File, signature: &[u8; 64], key: &PublicKey, workshop: &Workshop) -> SignError {
    let out = workshop.path("refused");
    fs::create_dir_all(&out).unwrap();
    let error = attach_signature(file, signature, key, &out).unwrap_err();
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0, "{error}");
    error
}

#[test]
fn signatures_of_others_or_of_something_else_are_refused() {
    let workshop = Workshop::new();
    let root = root(&workshop);
    let file = File::open(unsigned(&workshop, &root)).unwrap();
    let key = workshop.key.public();
    let bytes = signed_bytes(&file).unwrap();
    let good = workshop.key.sign(&bytes);
    let is_refused = |signature: &[u8; 64], key: &PublicKey| {
        let error = refused(&file, signature, key, &workshop);
        assert!(
            matches!(&error, SignError::Signature { key: named } if named == key.as_bytes()),
            "{error:?}"
        );
    };

    let other = SecretKey::generate().unwrap();
    is_refused(&other.sign(&bytes), &key);
    is_refused(&good, &other.public());
    is_refused(&[0; 64], &key);
    // A hash of the document is not the document: there is no prehashed variant.
    let mut shorter = bytes.clone();
    shorter.pop();
    is_refused(&workshop.key.sign(&shorter), &key);
    for bit in 0..512 {
        let mut changed = good;
        changed[bit / 8] ^= 1 << (bit % 8);
        is_refused(&changed, &key);
    }
    let out = workshop.path("good.npk");
    attach_signature(&file, &good, &key, &out).unwrap();
    verify(&out, &key);
}

#[test]
fn a_malleated_signature_is_refused() {
    // The order of the base point (RFC 8032, 5.1), little endian. Adding it to the scalar gives
    // another encoding of the same number, which a relaxed check takes for a second signature.
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let workshop = Workshop::new();
    let root = root(&workshop);
    let file = File::open(unsigned(&workshop, &root)).unwrap();
    let mut signature = workshop.key.sign(&signed_bytes(&file).unwrap());
    let mut carry = 0;
    for (byte, add) in signature[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    let error = refused(&file, &signature, &workshop.key.public(), &workshop);
    assert!(matches!(error, SignError::Signature { .. }), "{error:?}");
}

#[test]
fn what_is_damaged_is_not_signed() {
    let workshop = Workshop::new();
    let root = root(&workshop);
    let packed = workshop.pack(MANIFEST, Some(&root), Compression::Gzip);
    for path in [packed.path, unsigned(&workshop, &root)] {
        let mut bytes = fs::read(&path).unwrap();
        bytes[4096 + 100_000] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let file = File::open(&path).unwrap();
        let out = workshop.path("out.npk");
        let error = sign(&file, &workshop.key, &out, None).unwrap_err();
        assert!(
            matches!(
                error,
                SignError::Verity(VerityError::Block { .. })
                    | SignError::Archive(ArchiveError::Checksum { .. })
            ),
            "{error:?}"
        );
        assert!(signed_bytes(&file).is_err_and(|other| other.to_string() == error.to_string()));
        assert!(!out.exists());
    }
    let file = File::open(root.join("noise")).unwrap();
    let error = signed_bytes(&file).unwrap_err();
    assert!(matches!(error, SignError::Package(OpenError::Archive(_))));
}
