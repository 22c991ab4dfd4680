//! A writer of packages that checks nothing: any manifest, any image, with a valid signature if asked for.
//!
//! The layout is the one of the package format, so that what is wrong with a package is only what a test put there.

use std::{fs::File, os::unix::fs::FileExt, path::Path};

use northstar_npk::{archive::Archive, key::SecretKey, signature::Hashes};
use sha2::{Digest, Sha256};

const COMMENT: &[u8] = b"version: 0.9.2\n";
const BLOCK: usize = 4096;

/// A package without signature.
#[must_use]
pub fn unsigned(manifest: &[u8], image: &[u8]) -> Vec<u8> {
    archive(&[("manifest.yaml", manifest), ("fs.img", &padded(image))])
}

/// The package at `original` with another manifest, signed anew over it.
///
/// # Panics
/// If the original is no signed package or the key cannot be read.
#[must_use]
pub fn signed(original: &Path, manifest: &[u8], key: &Path) -> Vec<u8> {
    let file = File::open(original).expect("the original can be opened");
    let package = Archive::read(&file).expect("the original is a package");
    let signature = package.signature.expect("the original is signed");
    let hashes = Hashes::read_unauthenticated(&signature).expect("the original has hashes");
    let key = SecretKey::read(key).expect("the key can be read");
    let hashes = Hashes {
        manifest: Sha256::digest(manifest).into(),
        meta: Sha256::digest(COMMENT).into(),
        ..hashes
    };
    let size = usize::try_from(package.image.size).expect("an image fits");
    let mut image = vec![0; size];
    file.read_exact_at(&mut image, package.image.offset)
        .expect("the original has an image");
    let signature = hashes.sign(&key);
    archive(&[
        ("manifest.yaml", manifest),
        ("signature.yaml", &signature),
        ("fs.img", &image),
    ])
}

/// A zip archive of stored entries; section 4.3 of APPNOTE.TXT. The data of the last one begins at a multiple of a
/// block.
fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut directory = Vec::new();
    for (name, content) in entries {
        let begin = bytes.len();
        let is_image = *name == "fs.img";
        let extra = if is_image {
            alignment(begin + 30 + name.len())
        } else {
            Vec::new()
        };
        // Needed version, flags, method, time, date; checksum, both sizes; lengths of name and extra field.
        let mut common = Vec::new();
        for field in [10u16, 0, 0, 0, 0x0021] {
            common.extend(field.to_le_bytes());
        }
        common.extend(crc32fast::hash(content).to_le_bytes());
        let size = u32::try_from(content.len()).expect("an entry fits");
        common.extend(size.to_le_bytes());
        common.extend(size.to_le_bytes());
        common.extend(length(name.len()));
        common.extend(length(extra.len()));

        bytes.extend(0x0403_4b50u32.to_le_bytes());
        bytes.extend(&common);
        bytes.extend(name.as_bytes());
        bytes.extend(&extra);
        bytes.extend(*content);

        directory.extend(0x0201_4b50u32.to_le_bytes());
        directory.extend(0x030au16.to_le_bytes());
        directory.extend(&common);
        // Comment, disk, internal attributes; external attributes: a file of mode 0644; where it begins.
        directory.extend([0; 6]);
        directory.extend(0x81a4_0000u32.to_le_bytes());
        directory.extend(u32::try_from(begin).expect("an offset fits").to_le_bytes());
        directory.extend(name.as_bytes());
        directory.extend(&extra);
    }
    let begin = u32::try_from(bytes.len()).expect("an offset fits");
    let size = u32::try_from(directory.len()).expect("a size fits");
    bytes.extend(directory);
    bytes.extend(0x0605_4b50u32.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(length(entries.len()));
    bytes.extend(length(entries.len()));
    bytes.extend(size.to_le_bytes());
    bytes.extend(begin.to_le_bytes());
    bytes.extend(length(COMMENT.len()));
    bytes.extend(COMMENT);
    bytes
}

fn length(length: usize) -> [u8; 2] {
    u16::try_from(length).expect("a length fits").to_le_bytes()
}

/// The extra field after which the data of an entry, that would begin at `end` without it, begins at a block.
fn alignment(end: usize) -> Vec<u8> {
    let mut missing = end.next_multiple_of(BLOCK) - end;
    if missing == 0 {
        return Vec::new();
    }
    if missing < 6 {
        missing += BLOCK;
    }
    let mut extra = 0xa11eu16.to_le_bytes().to_vec();
    extra.extend(length(missing - 4));
    extra.extend(length(BLOCK));
    extra.resize(missing, 0);
    extra
}

fn padded(image: &[u8]) -> Vec<u8> {
    let mut image = image.to_vec();
    image.resize(image.len().next_multiple_of(BLOCK), 0);
    image
}
