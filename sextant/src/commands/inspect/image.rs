//! What the superblock of an image says about it (Documentation/filesystems/squashfs in the kernel).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use northstar_npk::Image;

/// Offsets in the superblock.
const BLOCK_SIZE: u64 = 12;
const COMPRESSION: u64 = 20;
const FLAGS: u64 = 24;
/// Inodes and data are stored as they are.
const FLAGS_STORED: u16 = 0b11;

/// How an image is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    /// As `pack --compression` has it.
    pub compression: &'static str,
    /// Size of a block in bytes.
    pub block_size: u32,
}

impl Form {
    pub(super) fn read(file: &File, image: &Image) -> io::Result<Form> {
        let u16_at = |offset| {
            let mut bytes = [0; 2];
            let read = file.read_exact_at(&mut bytes, image.offset + offset);
            read.map(|()| u16::from_le_bytes(bytes))
        };
        let mut block_size = [0; 4];
        file.read_exact_at(&mut block_size, image.offset + BLOCK_SIZE)?;
        Ok(Form {
            compression: word(u16_at(COMPRESSION)?, u16_at(FLAGS)?),
            block_size: u32::from_le_bytes(block_size),
        })
    }
}

fn word(compression: u16, flags: u16) -> &'static str {
    match compression {
        _ if flags & FLAGS_STORED == FLAGS_STORED => "none",
        1 => "gzip",
        2 => "lzma",
        3 => "lzo",
        4 => "xz",
        5 => "lz4",
        6 => "zstd",
        _ => "unknown",
    }
}
