//! Packages that are checked while they arrive.

#![cfg(test)]

mod common;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use common::Workshop;
use northstar_manifest::Manifest;
use northstar_npk::pack::{PackOptions, pack, pack_clones};
use northstar_npk::sign::sign;
use northstar_npk::squashfs::Compression;
use northstar_npk::verity::verify_image;
use northstar_npk::{Package, StreamVerifier};

const MANIFEST: &str = "name: arriving\nversion: 1.2.3\nuid: 1000\ngid: 1000\n";

/// A directory with a file that makes more than one block.
fn root(workshop: &Workshop) -> PathBuf {
    let root = workshop.path("root");
    fs::create_dir(&root).unwrap();
    let noise = |n: u32| n.wrapping_mul(0x9e37_79b9).to_le_bytes();
    let content: Vec<u8> = (0..500_000).flat_map(noise).collect();
    fs::write(root.join("file"), content).unwrap();
    root
}

/// Whether the image is verified without being read once it has arrived.
fn is_hashed_on_its_way(workshop: &Workshop, path: &Path) -> bool {
    let key = workshop.key.public();
    let bytes = fs::read(path).unwrap();
    let mut stream = StreamVerifier::new(Some(key.clone()));
    let mut arriving = None;
    let mut position = 0;
    for piece in bytes.chunks(100_000) {
        stream.update(piece).unwrap();
        arriving = arriving.or_else(|| stream.image());
        if let Some(arriving) = &mut arriving {
            arriving.update(position, piece);
        }
        position += piece.len() as u64;
    }
    stream.finish().unwrap();
    let file = File::options().read(true).write(true).open(path).unwrap();
    let package = Package::open(&file, Some(&key)).unwrap();
    let image = package.image();
    verify_image(&file, image).unwrap();
    file.write_all_at(&[0x77; 4096], image.offset).unwrap();
    verify_image(&file, image).unwrap_err();
    arriving.unwrap().verify(&file, image).is_ok()
}

#[test]
fn packages_of_the_packer_are_hashed_on_their_way() {
    let workshop = Workshop::new();
    let root = root(&workshop);
    let packed = workshop.pack(MANIFEST, Some(&root), Compression::None);
    assert!(is_hashed_on_its_way(&workshop, &packed.path));

    let manifest = Manifest::from_yaml(MANIFEST.as_bytes()).unwrap();
    let unsigned = PackOptions {
        root: Some(&root),
        ..PackOptions::new(&manifest)
    };
    let out = workshop.path("unsigned.npk");
    pack(&unsigned, &out).unwrap();
    let signed = workshop.path("signed.npk");
    sign(&File::open(&out).unwrap(), &workshop.key, &signed, None).unwrap();
    assert!(is_hashed_on_its_way(&workshop, &signed));

    let out = workshop.path("clones");
    fs::create_dir(&out).unwrap();
    let options = PackOptions {
        key: Some(&workshop.key),
        ..unsigned
    };
    for clone in pack_clones(&options, 2, &out).unwrap() {
        assert!(is_hashed_on_its_way(&workshop, &clone.path));
    }
}

#[test]
fn without_a_key_nothing_is_hashed() {
    let workshop = Workshop::new();
    let packed = workshop.pack(MANIFEST, None, Compression::None);
    let mut stream = StreamVerifier::new(None);
    stream.update(&fs::read(&packed.path).unwrap()).unwrap();
    assert!(stream.image().is_none());
    stream.finish().unwrap();
}
