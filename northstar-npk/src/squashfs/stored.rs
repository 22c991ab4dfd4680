//! An image without compression.
//!
//! The kernel refuses compressor id 0, so such an image names gzip and marks every block as stored.
//! `backhand` stores a block when its compressor makes it longer, and this one always does.

use backhand::compression::{CompressionAction, Compressor};
use backhand::{BackhandError, FilesystemCompressor, Flags, SuperBlock};

/// A compressor to whom nothing is compressible.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stored;

pub(super) static STORED: Stored = Stored;

/// What `mksquashfs -noI -noD -noF -noX` states in the superblock. Nothing depends on it.
pub(super) const FLAGS: u16 = Flags::InodesStoredUncompressed as u16
    | Flags::DataBlockStoredUncompressed as u16
    | Flags::FragmentsStoredUncompressed as u16
    | Flags::XattrsAreStoredUncompressed as u16;

impl CompressionAction for Stored {
    type Compressor = Compressor;
    type FilesystemCompressor = FilesystemCompressor;
    type SuperBlock = SuperBlock;
    type Error = BackhandError;

    fn decompress(
        &self,
        _bytes: &[u8],
        _out: &mut Vec<u8>,
        _compressor: Compressor,
    ) -> Result<(), BackhandError> {
        // Stored blocks never come here.
        Err(BackhandError::CorruptedOrInvalidSquashfs)
    }

    fn compress(
        &self,
        bytes: &[u8],
        _compressor: FilesystemCompressor,
        _block_size: u32,
    ) -> Result<Vec<u8>, BackhandError> {
        // The content of what is longer than the block is never looked at.
        Ok(vec![0; bytes.len() + 1])
    }
}
