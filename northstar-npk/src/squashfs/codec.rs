//! Compressing blocks.

use backhand::compression::{
    CompressionAction, CompressionOptions, Compressor, DefaultCompressor, Lz4, Zstd,
};
use backhand::{BackhandError, FilesystemCompressor, Flags};

use super::{Compression, lzo};

/// What compresses the blocks of one image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Codec {
    compression: Compression,
    /// Block size of the image in bytes.
    block_size: u32,
}

impl Codec {
    pub(super) fn new(compression: Compression, block_size: u32) -> Codec {
        Codec {
            compression,
            block_size,
        }
    }

    /// Block size of the image in bytes.
    pub(super) fn block_size(self) -> usize {
        // At most a MiB.
        self.block_size as usize
    }

    /// What the library has to know of it.
    pub(super) fn compressor(self) -> Result<FilesystemCompressor, BackhandError> {
        let (id, options) = match self.compression {
            // The kernel refuses compressor id 0, so an image without compression names gzip and
            // marks every block as stored.
            Compression::None | Compression::Gzip => (Compressor::Gzip, None),
            Compression::Lzo => (Compressor::Lzo, None),
            Compression::Xz => (Compressor::Xz, None),
            Compression::Zstd => (Compressor::Zstd, Some(CompressionOptions::Zstd(ZSTD))),
            Compression::Lz4 => (Compressor::Lz4, Some(CompressionOptions::Lz4(LZ4))),
        };
        FilesystemCompressor::new(id, options)
    }

    /// Whether the options are part of the image. Those of LZ4 the kernel demands; the level of
    /// Zstandard is of no use to a reader.
    pub(super) fn has_options_in_image(self) -> bool {
        self.compression == Compression::Lz4
    }

    /// Flags of the superblock.
    pub(super) fn flags(self) -> u16 {
        match self.compression {
            Compression::None => STORED,
            _ => 0,
        }
    }

    /// Compresses one block. What comes out longer than `bytes` is stored as it is by the library.
    pub(super) fn compress(self, bytes: &[u8]) -> Result<Vec<u8>, BackhandError> {
        match self.compression {
            // The content of what is longer than the block is never looked at.
            Compression::None => Ok(vec![0; bytes.len() + 1]),
            Compression::Lzo => Ok(lzo::compress(bytes)),
            _ => DefaultCompressor.compress(bytes, self.compressor()?, self.block_size),
        }
    }
}

/// The level of mksquashfs.
const ZSTD: Zstd = Zstd {
    compression_level: 15,
};

/// `LZ4_LEGACY`, the one version there is.
const LZ4: Lz4 = Lz4 {
    version: 1,
    flags: 0,
};

/// What `mksquashfs -noI -noD -noF -noX` states. Nothing depends on it.
const STORED: u16 = Flags::InodesStoredUncompressed as u16
    | Flags::DataBlockStoredUncompressed as u16
    | Flags::FragmentsStoredUncompressed as u16
    | Flags::XattrsAreStoredUncompressed as u16;
