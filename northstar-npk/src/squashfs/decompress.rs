//! Reading images of every compression that packages may have.
//!
//! Of the library's own ways only that of lz4 is used. Its features for xz and lzo bring C code and a
//! licence that do not fit here. For each block of zstd it makes a new context, which takes longer than
//! most blocks; a block of gzip that ends too early it decompresses again and again, into 4 MiB at last.

use std::cell::RefCell;
use std::io::Read;

use backhand::compression::{CompressionAction, Compressor, DefaultCompressor};
use backhand::{BackhandError, FilesystemCompressor, MAX_BLOCK_SIZE, SuperBlock};
use flate2::{Decompress, FlushDecompress, Status};
use lzma_rust2::XzReader;
use zstd::bulk::Decompressor;

use super::lzo;

/// No block is larger when decompressed, in bytes.
const LIMIT: usize = MAX_BLOCK_SIZE as usize;
/// Bytes by which the room for a block grows, if there is too little.
const STEP: usize = 64 * 1024;
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
            Compressor::Gzip => gzip(bytes, out),
            Compressor::Zstd => zstd(bytes, out),
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

thread_local! {
    /// The state of this thread, which has one size.
    static GZIP: RefCell<Decompress> = RefCell::new(Decompress::new(true));
    /// The context of this thread. What it holds does not grow: each block is decompressed in one go.
    static ZSTD: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

fn gzip(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), BackhandError> {
    let start = out.len();
    GZIP.with_borrow_mut(|state| {
        state.reset(true);
        loop {
            let taken = usize::try_from(state.total_in()).unwrap_or(usize::MAX);
            let rest = bytes.get(taken..).unwrap_or_default();
            let status = state.decompress_vec(rest, out, FlushDecompress::Finish);
            let is_full = out.len() == out.capacity();
            match status {
                _ if out.len() - start > LIMIT => break,
                Ok(Status::StreamEnd) => return Ok(()),
                Ok(_) if is_full => out.reserve(STEP),
                // It ends too early, or is damaged.
                Ok(_) | Err(_) => break,
            }
        }
        Err(BackhandError::CorruptedOrInvalidSquashfs)
    })
}

fn zstd(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), BackhandError> {
    ZSTD.with_borrow_mut(|context| {
        let context = match context {
            Some(context) => context,
            None => context.insert(Decompressor::new()?),
        };
        // No more than there is room for.
        context.decompress_to_buffer(bytes, out)?;
        Ok(())
    })
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::ZlibEncoder};

    use super::*;

    fn decompressed(
        bytes: &[u8],
        compressor: Compressor,
        room: usize,
    ) -> Result<Vec<u8>, BackhandError> {
        let mut out = Vec::with_capacity(room);
        Reading.decompress(bytes, &mut out, compressor)?;
        Ok(out)
    }

    fn zlib(content: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn is_corrupted(result: &Result<Vec<u8>, BackhandError>) -> bool {
        matches!(result, Err(BackhandError::CorruptedOrInvalidSquashfs))
    }

    #[test]
    fn gzip_makes_room_for_a_block_of_any_size_and_for_no_more() {
        for size in [0, 1, 8 * 1024, 128 * 1024, LIMIT] {
            let content: Vec<u8> = (0..size).map(|at| (at / 7) as u8).collect();
            for room in [0, 8 * 1024, size] {
                let found = decompressed(&zlib(&content), Compressor::Gzip, room).unwrap();
                assert!(found == content, "{size} {room}");
            }
        }
        let larger = zlib(&vec![0; LIMIT + 1]);
        assert!(is_corrupted(&decompressed(&larger, Compressor::Gzip, 0)));
        let bomb = zlib(&vec![0; 64 * LIMIT]);
        let mut out = Vec::new();
        let refused = Reading.decompress(&bomb, &mut out, Compressor::Gzip);
        assert!(matches!(
            refused,
            Err(BackhandError::CorruptedOrInvalidSquashfs)
        ));
        assert!(out.capacity() <= 2 * LIMIT, "{}", out.capacity());
    }

    /// However little of it is there, it takes no more room than the block would.
    #[test]
    fn gzip_that_ends_too_early_is_refused_at_once() {
        let whole = zlib(b"once upon a time");
        for end in 0..whole.len() {
            let mut out = Vec::with_capacity(8 * 1024);
            let refused = Reading.decompress(&whole[..end], &mut out, Compressor::Gzip);
            assert!(refused.is_err(), "{end} bytes");
            assert_eq!(out.capacity(), 8 * 1024, "{end} bytes");
        }
        assert_eq!(
            decompressed(&whole, Compressor::Gzip, 0).unwrap(),
            b"once upon a time"
        );
    }

    /// What one block did to the state of the thread, the next one does not see.
    #[test]
    fn a_damaged_block_leaves_no_trace() {
        let content = b"what it says".repeat(100);
        let gzip = zlib(&content);
        let zstd = zstd::bulk::compress(&content, 3).unwrap();
        for (compressor, good) in [(Compressor::Gzip, gzip), (Compressor::Zstd, zstd)] {
            for at in 0..good.len() {
                let mut bad = good.clone();
                bad[at] ^= 0xff;
                // A changed byte may be one that does not matter.
                drop(decompressed(&bad, compressor, 8 * 1024));
                drop(decompressed(&good[..at], compressor, 8 * 1024));
                let found = decompressed(&good, compressor, 8 * 1024).unwrap();
                assert!(found == content, "{compressor:?} {at}");
            }
        }
    }

    #[test]
    fn zstd_takes_no_more_room_than_there_is() {
        let block = zstd::bulk::compress(&[7; 8 * 1024], 3).unwrap();
        let found = decompressed(&block, Compressor::Zstd, 8 * 1024).unwrap();
        assert_eq!(found, [7; 8 * 1024]);
        assert!(decompressed(&block, Compressor::Zstd, 8 * 1024 - 1).is_err());
    }
}
