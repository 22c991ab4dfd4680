//! Images by hand, of metadata in blocks that are not compressed.

use std::fs::File;
use std::io::Write;

use crate::package::Image;

/// Size of a basic directory, and of a file without blocks.
pub(super) const INODE: usize = 32;

/// Metadata in blocks that are not compressed.
fn blocks(bytes: &[u8]) -> Vec<u8> {
    let blocks = bytes.chunks(8192).map(|block| {
        let size = block.len() as u16 | 0x8000;
        [&size.to_le_bytes(), block].concat()
    });
    blocks.collect::<Vec<_>>().concat()
}

/// Where a byte of such metadata is: the start of its block, and how far it is inside.
pub(super) fn place(at: usize) -> (u32, u16) {
    ((at / 8192 * 8194) as u32, (at % 8192) as u16)
}

/// An image of these tables, whose root is the first inode.
pub(super) fn image(count: u32, inodes: &[u8], directories: &[u8]) -> (File, Image) {
    image_with_root(count, 0, inodes, directories)
}

pub(super) fn image_with_root(
    count: u32,
    root: u64,
    inodes: &[u8],
    directories: &[u8],
) -> (File, Image) {
    let inodes = blocks(inodes);
    let directories = blocks(directories);
    let id = blocks(&1000_u32.to_le_bytes());
    let inode_table = 96;
    let directory_table = inode_table + inodes.len() as u64;
    let id_block = directory_table + directories.len() as u64;
    let id_table = id_block + id.len() as u64;
    let mut bytes = Vec::new();
    for field in [0x7371_7368, count, 0, 4096, 0] {
        bytes.extend(u32::to_le_bytes(field));
    }
    // Compression, logarithm of the block size, flags (no extended attributes), ids, version.
    for field in [1, 12, 0x210, 1, 4, 0] {
        bytes.extend(u16::to_le_bytes(field));
    }
    let none = u64::MAX;
    for field in [
        root,
        id_table + 8,
        id_table,
        none,
        inode_table,
        directory_table,
        none,
        none,
    ] {
        bytes.extend(u64::to_le_bytes(field));
    }
    bytes.extend([inodes, directories, id].concat());
    bytes.extend(id_block.to_le_bytes());
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    let image = Image {
        offset: 0,
        size: bytes.len() as u64,
        squashfs_size: bytes.len() as u64,
        verity: None,
    };
    (file, image)
}

/// What all inodes begin with.
pub(super) fn inode(kind: u16, number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in [kind, 0o755, 0, 0] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend([0_u32.to_le_bytes(), number.to_le_bytes()].concat());
    bytes
}

pub(super) fn basic_directory(number: u32, at: usize, size: u16) -> Vec<u8> {
    let (block, offset) = place(at);
    let mut bytes = inode(1, number);
    bytes.extend([block.to_le_bytes(), 2_u32.to_le_bytes()].concat());
    bytes.extend([size.to_le_bytes(), offset.to_le_bytes()].concat());
    bytes.extend(0_u32.to_le_bytes());
    bytes
}

/// A file without data.
pub(super) fn file(number: u32, size: u32) -> Vec<u8> {
    let mut bytes = inode(2, number);
    for field in [0, 0, 0, size] {
        bytes.extend(u32::to_le_bytes(field));
    }
    bytes
}

pub(super) fn header(entries: u32, block: u32, number: u32) -> Vec<u8> {
    let fields = [entries - 1, block, number];
    fields
        .iter()
        .flat_map(|field| field.to_le_bytes())
        .collect()
}

pub(super) fn entry(offset: u16, delta: i16, kind: u16, name: &str) -> Vec<u8> {
    let size = name.len() as u16 - 1;
    let mut bytes = [offset.to_le_bytes(), delta.to_le_bytes()].concat();
    bytes.extend([kind.to_le_bytes(), size.to_le_bytes()].concat());
    bytes.extend(name.as_bytes());
    bytes
}
