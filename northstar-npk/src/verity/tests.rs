//! Agreement with `veritysetup` (package `cryptsetup-bin`), which these tests need, and damage.

mod arriving;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Output};

use super::*;
use crate::checksum::Checksums;
use crate::limits::BLOCK;
use crate::package::Image;
use crate::progress::{Counter, Stage};

/// Stands for a manifest.
const MANIFEST: &[u8] = b"name: image\n";

/// From no tree over one and two levels to the first block of a third.
const COUNTS: [u64; 6] = [1, 127, 128, 129, 16384, 16385];

fn veritysetup(arguments: &[&str], files: &[&Path]) -> Output {
    Command::new("veritysetup")
        .args(arguments)
        .args(files)
        .output()
        .unwrap_or_else(|error| {
            panic!("veritysetup (package cryptsetup-bin) cannot be run: {error}")
        })
}

/// A file of different blocks, and its path.
fn data(directory: &Path, blocks: u64) -> (File, std::path::PathBuf) {
    let path = directory.join(format!("data-{blocks}"));
    // No two blocks are equal.
    let bytes: Vec<u8> = (1..=blocks)
        .flat_map(|block| block.to_le_bytes().repeat(BLOCK / 8))
        .collect();
    fs::write(&path, bytes).unwrap();
    (File::open(&path).unwrap(), path)
}

fn uuid_text(uuid: &[u8; 16]) -> String {
    let hex = hex::encode(uuid);
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

fn build_from_start(file: &File, blocks: u64) -> Result<HashTree, VerityError> {
    let checksums = Checksums::read(file, 0, blocks * BLOCK_U64).unwrap();
    let counter = Counter::new(None, Stage::HashTree, 0);
    build(file, 0, blocks, MANIFEST, &checksums, &counter)
}

/// Data, superblock and tree in one file, as in a package.
fn image(directory: &Path, blocks: u64) -> (File, Image, HashTree) {
    let (file, path) = data(directory, blocks);
    let tree = build_from_start(&file, blocks).unwrap();
    let (file, image) = with_tree(&path, blocks, &tree);
    (file, image, tree)
}

/// Puts superblock and tree behind the data in the file at `path`.
fn with_tree(path: &Path, blocks: u64, tree: &HashTree) -> (File, Image) {
    let mut file = File::options().append(true).read(true).open(path).unwrap();
    file.write_all(&tree.to_bytes()).unwrap();
    let squashfs_size = blocks * BLOCK_U64;
    let image = Image {
        offset: 0,
        size: file.metadata().unwrap().len(),
        squashfs_size,
        verity: Some(Verity {
            root_hash: tree.root_hash,
            salt: tree.superblock.salt.clone(),
            data_blocks: blocks,
            tree_offset_in_image: squashfs_size + BLOCK_U64,
        }),
    };
    (file, image)
}

/// Builds the tree over the first `blocks` of a file here and with `veritysetup`, and compares them.
fn compare_with_veritysetup(directory: &Path, (file, data): (&File, &Path), blocks: u64) {
    let tree = build_from_start(file, blocks).unwrap();
    let theirs = directory.join("theirs");
    let _ = fs::remove_file(&theirs);
    let salt = format!("--salt={}", hex::encode(&tree.superblock.salt));
    let uuid = format!("--uuid={}", uuid_text(&tree.superblock.uuid));
    let output = veritysetup(&["format", &salt, &uuid], &[data, &theirs]);
    assert!(output.status.success(), "{output:?}");

    let text = String::from_utf8(output.stdout).unwrap();
    let root = text
        .lines()
        .find_map(|line| line.strip_prefix("Root hash:"))
        .unwrap();
    assert_eq!(root.trim(), hex::encode(tree.root_hash), "{blocks} blocks");
    let ours = [tree.superblock.encode().as_slice(), &tree.blocks].concat();
    let mut theirs = fs::read(&theirs).unwrap();
    // veritysetup writes the superblock as 512 bytes and leaves the rest of its block out
    // when no tree follows.
    theirs.resize(theirs.len().next_multiple_of(BLOCK), 0);
    assert!(ours == theirs, "{blocks} blocks");
}

#[test]
fn trees_equal_those_of_veritysetup() {
    let directory = tempfile::tempdir().unwrap();
    for blocks in COUNTS {
        let (file, data) = data(directory.path(), blocks);
        compare_with_veritysetup(directory.path(), (&file, &data), blocks);
    }
}

#[test]
fn the_tree_of_a_gibibyte_equals_that_of_veritysetup() {
    const BLOCKS: u64 = (1 << 30) / BLOCK_U64;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let file = File::create_new(&path).unwrap();
    file.set_len(1 << 30).unwrap();
    // Holes are hashed like data.
    for block in (0..BLOCKS).step_by(1000).chain([BLOCKS - 1]) {
        let at = block * BLOCK_U64 + block % BLOCK_U64 / 8 * 8;
        file.write_all_at(&(block + 1).to_le_bytes(), at).unwrap();
    }
    let file = File::open(&path).unwrap();
    compare_with_veritysetup(directory.path(), (&file, &path), BLOCKS);
}

#[test]
fn veritysetup_verifies_our_images() {
    let directory = tempfile::tempdir().unwrap();
    for blocks in COUNTS {
        let (_file, _image, tree) = image(directory.path(), blocks);
        let path = directory.path().join(format!("data-{blocks}"));
        let offset = format!("--hash-offset={}", blocks * BLOCK_U64);
        let output = Command::new("veritysetup")
            .args(["verify", &offset])
            .args([&path, &path])
            .arg(hex::encode(tree.root_hash))
            .output()
            .unwrap();
        assert!(output.status.success(), "{blocks} blocks: {output:?}");
    }
}

#[test]
fn equal_packages_get_equal_trees_and_others_another_salt() {
    let directory = tempfile::tempdir().unwrap();
    let (file, _) = data(directory.path(), 129);
    let tree = build_from_start(&file, 129).unwrap();
    assert_eq!(build_from_start(&file, 129).unwrap(), tree);
    let other = build_from_start(&file, 128).unwrap();
    assert_ne!(other.superblock.salt, tree.superblock.salt);
    assert_ne!(other.superblock.uuid, tree.superblock.uuid);
    // One byte of another value is enough.
    let path = directory.path().join("data-129");
    let writable = File::options().write(true).open(path).unwrap();
    writable.write_all_at(b"x", 70 * BLOCK_U64).unwrap();
    let changed = build_from_start(&file, 129).unwrap();
    assert_ne!(changed.superblock.uuid, tree.superblock.uuid);
    assert_ne!(changed.root_hash, tree.root_hash);
    let checksums = Checksums::read(&file, 0, 129 * BLOCK_U64).unwrap();
    let counter = Counter::new(None, Stage::HashTree, 0);
    let renamed = build(&file, 0, 129, b"name: other\n", &checksums, &counter).unwrap();
    assert_ne!(renamed.superblock.salt, changed.superblock.salt);
    assert_eq!(renamed.superblock.uuid, changed.superblock.uuid);
}

#[test]
fn images_verify() {
    let directory = tempfile::tempdir().unwrap();
    for blocks in COUNTS {
        let (file, image, _) = image(directory.path(), blocks);
        verify_image(&file, &image).unwrap();
        verify_root_block(&file, 0, image.verity.as_ref().unwrap()).unwrap();
    }
}

/// Flips one bit of byte `at` for the time of a check.
fn flipped(path: &Path, at: u64, image: &Image) -> Result<(), VerityError> {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
    let result = verify_image(&file, image);
    file.write_all_at(&byte, at).unwrap();
    result
}

#[test]
fn every_damaged_block_is_found_and_named() {
    let directory = tempfile::tempdir().unwrap();
    let blocks = 16385;
    let (_, image, _) = image(directory.path(), blocks);
    let path = directory.path().join(format!("data-{blocks}"));
    // The tree has levels of 1, 2 and 129 blocks.
    let tree = blocks + 1;
    let bottom = tree + 3;
    let byte = |block: u64, at: u64| block * BLOCK_U64 + at;

    for data_block in [0, 1, 127, 128, 9999, 16384] {
        for at in [0, 4095] {
            let result = flipped(&path, byte(data_block, at), &image);
            assert!(
                matches!(result, Err(VerityError::Block { block }) if block == data_block),
                "data block {data_block}: {result:?}"
            );
        }
    }
    // A wrong hash shows at the block it belongs to.
    for (at, child) in [
        (byte(bottom, 0), 0),
        (byte(bottom, 4095), 127),
        (byte(bottom + 128, 0), 16384),
        (byte(tree + 1, 32), bottom + 1),
        (byte(tree + 2, 0), bottom + 128),
        (byte(tree, 33), tree + 2),
    ] {
        let result = flipped(&path, at, &image);
        assert!(
            matches!(result, Err(VerityError::Block { block }) if block == child),
            "byte {at}: {result:?}"
        );
    }
    // Behind the last hash of a level there is nothing to match.
    for block in [bottom + 128, tree + 2, tree] {
        for at in [64, 4095] {
            let result = flipped(&path, byte(block, at), &image);
            assert!(
                matches!(result, Err(VerityError::Padding { block: found }) if found == block),
                "tree block {block}: {result:?}"
            );
        }
    }
    verify_image(&File::open(&path).unwrap(), &image).unwrap();
}

#[test]
fn every_byte_of_a_small_image_is_covered() {
    let directory = tempfile::tempdir().unwrap();
    let (_, image, _) = image(directory.path(), 2);
    let path = directory.path().join("data-2");
    let superblock = 2 * BLOCK_U64..3 * BLOCK_U64;
    for at in (0..image.size).filter(|at| !superblock.contains(at)) {
        let result = flipped(&path, at, &image);
        assert!(
            matches!(
                result,
                Err(VerityError::Block { .. } | VerityError::Padding { .. })
            ),
            "byte {at}: {result:?}"
        );
    }
}

#[test]
fn another_root_hash_and_another_salt_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    for blocks in [1, 2, 129] {
        let (file, image, _) = image(directory.path(), blocks);
        let verity = image.verity.clone().unwrap();
        let with = |verity: Verity| Image {
            verity: Some(verity),
            ..image.clone()
        };
        let mut other_root = verity.clone();
        other_root.root_hash[31] ^= 1;
        let root = |verity: &Verity| verify_root_block(&file, 0, verity);
        assert!(matches!(root(&other_root), Err(VerityError::Root)));
        let result = verify_image(&file, &with(other_root));
        assert!(matches!(result, Err(VerityError::Root)));
        let mut other_salt = verity;
        other_salt.salt[0] ^= 1;
        assert!(matches!(root(&other_salt), Err(VerityError::Root)));
        let result = verify_image(&file, &with(other_salt));
        assert!(matches!(
            result,
            Err(VerityError::Root | VerityError::Block { .. })
        ));
    }
}

#[test]
fn an_image_that_shrank_is_a_read_error() {
    let directory = tempfile::tempdir().unwrap();
    for size in [0, 64 * BLOCK_U64, 131 * BLOCK_U64, 133 * BLOCK_U64 - 1] {
        let (file, image, _) = image(directory.path(), 129);
        assert_eq!(image.size, 133 * BLOCK_U64);
        let path = directory.path().join("data-129");
        let writable = File::options().write(true).open(path).unwrap();
        writable.set_len(size).unwrap();
        let result = verify_image(&file, &image);
        assert!(
            matches!(
                &result,
                Err(VerityError::Read { source, .. })
                    if source.kind() == io::ErrorKind::UnexpectedEof
            ),
            "{size} bytes: {result:?}"
        );
    }
}

#[test]
fn trees_of_nothing_and_salts_without_room_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (file, _) = data(directory.path(), 1);
    let tree = |blocks, salt: usize| hash_tree(&file, blocks, &vec![1; salt], [0; 16]);
    assert!(matches!(tree(0, 32), Err(VerityError::Empty)));
    assert!(matches!(
        tree(1, 257),
        Err(VerityError::SaltSize { size: 257 })
    ));
    assert_eq!(tree(1, 256).unwrap().to_bytes().len(), BLOCK);
    assert!(matches!(tree(2, 32), Err(VerityError::Read { .. })));
}
