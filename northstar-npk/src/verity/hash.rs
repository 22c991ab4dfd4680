//! Hashing blocks.

use std::fs::File;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::FileExt;

use sha2::{Digest, Sha256};

use super::VerityError;
use crate::limits::{BLOCK, BLOCK_U64};
use crate::signature::Hash;

/// Hashes in one tree block.
pub(super) const HASHES_PER_BLOCK: usize = BLOCK / size_of::<Hash>();

/// Computes `sha256(salt || block)`.
pub(super) struct BlockHasher(Sha256);

impl BlockHasher {
    pub(super) fn new(salt: &[u8]) -> BlockHasher {
        BlockHasher(Sha256::new_with_prefix(salt))
    }

    pub(super) fn hash(&self, block: &[u8]) -> Hash {
        self.0.clone().chain_update(block).finalize().into()
    }
}

/// Memory for blocks whose address is a multiple of a block, as descriptors opened with `O_DIRECT` demand (open(2)).
#[derive(Default)]
pub(super) struct Blocks {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl Blocks {
    fn resize(&mut self, count: usize) {
        self.length = count * BLOCK;
        if self.memory.len() < self.length + BLOCK {
            self.memory = vec![0; self.length + BLOCK];
            self.start = self.memory.as_ptr().align_offset(BLOCK);
        }
    }
}

impl Deref for Blocks {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.memory
            .get(self.start..self.start + self.length)
            .unwrap_or_default()
    }
}

impl DerefMut for Blocks {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.memory
            .get_mut(self.start..self.start + self.length)
            .unwrap_or_default()
    }
}

/// Reads `count` blocks of an image from block `first` on; `buffer` holds exactly them afterwards.
pub(super) fn read_blocks(
    file: &File,
    image_offset: u64,
    first: u64,
    count: usize,
    buffer: &mut Blocks,
) -> Result<(), VerityError> {
    buffer.resize(count);
    file.read_exact_at(buffer, image_offset + first * BLOCK_U64)
        .map_err(|source| VerityError::Read {
            block: first,
            source,
        })
}

/// Number and position of the data blocks below bottom tree block `index`.
pub(super) fn children(index: u64, total: u64) -> (u64, usize) {
    let first = index * HASHES_PER_BLOCK as u64;
    let count = (total - first).min(HASHES_PER_BLOCK as u64);
    // At most 128, so the narrowing keeps the value.
    (first, count as usize)
}
