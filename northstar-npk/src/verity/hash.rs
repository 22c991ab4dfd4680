//! Hashing blocks, and spreading that over all cores.

use std::fs::File;
use std::num::NonZeroUsize;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

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

/// Runs `work` for each index below `count` on all cores and returns the results in order.
///
/// Each thread has one buffer that it hands to all its calls. After a failure no new index is
/// begun, and of several failures the one with the lowest index is returned.
pub(super) fn on_all_cores<T: Send, E: Send>(
    count: u64,
    work: impl Fn(u64, &mut Blocks) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let next = AtomicU64::new(0);
    let failed = AtomicBool::new(false);
    let results = Mutex::new(Vec::new());
    let run = || {
        let mut buffer = Blocks::default();
        let mut own = Vec::new();
        while !failed.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                break;
            }
            let result = work(index, &mut buffer);
            if result.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
            own.push((index, result));
        }
        results
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .append(&mut own);
    };
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get) as u64;
        for _ in 1..cores.min(count) {
            // A thread the system does not give is not needed: this one does all that is left.
            if thread::Builder::new().spawn_scoped(scope, run).is_err() {
                break;
            }
        }
        run();
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_unstable_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order() {
        let results: Result<Vec<u64>, ()> = on_all_cores(1000, |index, _| Ok(index * 2));
        assert_eq!(results, Ok((0..1000).map(|index| index * 2).collect()));
    }

    #[test]
    fn the_first_failure_is_reported() {
        let result: Result<Vec<()>, u64> =
            on_all_cores(
                1000,
                |index, _| if index >= 500 { Err(index) } else { Ok(()) },
            );
        assert_eq!(result, Err(500));
    }
}
