//! Reading images of every compression that packages may have.
//!
//! The library brings gzip, lz4 and zstd. Its features for xz and lzo bring C code and a licence
//! that do not fit here.

use std::io::Read;

use backhand::compression::{CompressionAction, Compressor, DefaultCompressor};
use backhand::{BackhandError, FilesystemCompressor, MAX_BLOCK_SIZE, SuperBlock};
use lzma_rust2::XzReader;

use super::lzo;

/// No block is larger when decompressed, in bytes.
const LIMIT: usize = MAX_BLOCK_SIZE as usize;
/// More memory than the dictionary for one block takes, in KiB.
const XZ_MEMORY: u32 = 16 * 1024;

/// Decompresses everything and compresses nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading;

pub(super) static READING: Reading = Reading;

impl CompressionAction for Reading {
    type Compressor = Compressor;
    type FilesystemCompressor = FilesystemCompressor;
    type SuperBlock = SuperBlock;
    type Error = BackhandError;

    fn decompress(
        &self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        compressor: Compressor,
    ) -> Result<(), BackhandError> {
        match compressor {
            Compressor::Xz => xz(bytes, out),
            Compressor::Lzo => {
                lzo::decompress(bytes, out, LIMIT).ok_or(BackhandError::CorruptedOrInvalidSquashfs)
            }
            other => DefaultCompressor.decompress(bytes, out, other),
        }
    }

    fn compress(
        &self,
        _bytes: &[u8],
        _compressor: FilesystemCompressor,
        _block_size: u32,
    ) -> Result<Vec<u8>, BackhandError> {
        // Images are not written with this.
        Err(BackhandError::InvalidCompressionOption)
    }
}

fn xz(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), BackhandError> {
    let reader = XzReader::new_mem_limit(bytes, false, XZ_MEMORY);
    // One byte beyond the limit tells a block that is too large from one that just fits.
    let read = reader.take(LIMIT as u64 + 1).read_to_end(out)?;
    match read <= LIMIT {
        true => Ok(()),
        false => Err(BackhandError::CorruptedOrInvalidSquashfs),
    }
}
