//! Checking an image against its root hash.

use std::fs::File;

use super::hash::{BlockHasher, Blocks, HASHES_PER_BLOCK, children, read_blocks};
use super::tree::levels;
use super::{Verity, VerityError};
use crate::limits::BLOCK;
use crate::package::Image;
use crate::parallel::on_all_cores;
use crate::progress::{Counter, Report, Stage};
use crate::signature::Hash;

/// Reads the whole of a signed image once, on all cores, and checks every byte of it.
///
/// That is: each data block and each tree block has the hash its parent says, tree blocks are
/// zero after their last hash, and the top has the root hash. The superblock was checked when the
/// package was opened. Reads are positioned, so `file` may be shared, and aligned to blocks in the file (as far as
/// the image is) and in memory, so it may be opened with `O_DIRECT`. Memory does not grow with
/// the image except for 32 bytes for each 512 KiB.
pub fn verify_image(file: &File, image: &Image) -> Result<(), VerityError> {
    verify_image_with(file, image, None)
}

/// [`verify_image`], which tells how far it is.
pub fn verify_image_with(
    file: &File,
    image: &Image,
    report: Option<Report<'_>>,
) -> Result<(), VerityError> {
    let counter = Counter::new(report, Stage::Check, image.squashfs_size);
    verify_image_counted(file, image, &counter)?;
    counter.finish();
    Ok(())
}

/// [`verify_image`], with the bytes of the data counted.
pub(crate) fn verify_image_counted(
    file: &File,
    image: &Image,
    counter: &Counter<'_>,
) -> Result<(), VerityError> {
    let verity = image.verity.as_ref().ok_or(VerityError::Unsigned)?;
    let check = Check {
        file,
        image_offset: image.offset,
        hasher: BlockHasher::new(&verity.salt),
        data_blocks: verity.data_blocks,
        counter,
    };
    check.run(verity)
}

/// Checks the tree above its bottom level, whose blocks have the hashes `bottom`.
pub(super) fn verify_upper_levels(
    file: &File,
    image_offset: u64,
    verity: &Verity,
    bottom: &[Hash],
) -> Result<(), VerityError> {
    let counter = Counter::new(None, Stage::Check, 0);
    let check = Check {
        file,
        image_offset,
        hasher: BlockHasher::new(&verity.salt),
        data_blocks: verity.data_blocks,
        counter: &counter,
    };
    check.above(verity, bottom.to_vec())
}

/// Checks the one block whose hash is the root hash: the first of the tree, or, where there is no
/// tree, the only data block.
///
/// This costs one read however large the image is, and with it the salt is authentic.
pub(crate) fn verify_root_block(
    file: &File,
    image_offset: u64,
    verity: &Verity,
) -> Result<(), VerityError> {
    let block = match levels(verity.data_blocks).is_empty() {
        true => 0,
        false => verity.hash_start_block(),
    };
    let mut buffer = Blocks::default();
    read_blocks(file, image_offset, block, 1, &mut buffer)?;
    match BlockHasher::new(&verity.salt).hash(&buffer) == verity.root_hash {
        true => Ok(()),
        false => Err(VerityError::Root),
    }
}

struct Check<'a> {
    file: &'a File,
    image_offset: u64,
    hasher: BlockHasher,
    data_blocks: u64,
    counter: &'a Counter<'a>,
}

impl Check<'_> {
    fn run(&self, verity: &Verity) -> Result<(), VerityError> {
        let hashes = match levels(self.data_blocks).first() {
            Some(blocks) => self.bottom_level(verity.total_blocks() - blocks, *blocks)?,
            None => {
                let mut buffer = Blocks::default();
                self.read(0, 1, &mut buffer)?;
                vec![self.hasher.hash(&buffer)]
            }
        };
        self.above(verity, hashes)
    }

    /// Checks all levels above the bottom one, whose blocks have the given hashes, and the root hash.
    fn above(&self, verity: &Verity, mut hashes: Vec<Hash>) -> Result<(), VerityError> {
        // In the file the top comes first, so the level above the data ends where the image does.
        let mut levels = levels(self.data_blocks).into_iter();
        let mut below_start = verity.total_blocks() - levels.next().unwrap_or(0);
        for blocks in levels {
            let start = below_start - blocks;
            hashes = self.level(start, below_start, &hashes)?;
            below_start = start;
        }
        match hashes.as_slice() {
            [root] if *root == verity.root_hash => Ok(()),
            _ => Err(VerityError::Root),
        }
    }

    fn read(&self, first: u64, count: usize, buffer: &mut Blocks) -> Result<(), VerityError> {
        read_blocks(self.file, self.image_offset, first, count, buffer)
    }

    /// Checks the data and the tree level above it; returns the hashes of the level's blocks.
    fn bottom_level(&self, start: u64, blocks: u64) -> Result<Vec<Hash>, VerityError> {
        let begin = || Ok(Blocks::default());
        on_all_cores(blocks, begin, |buffer, index| {
            let (first, count) = children(index, self.data_blocks);
            self.read(first, count, buffer)?;
            self.counter.add(buffer.len() as u64);
            let hashes: Vec<Hash> = buffer
                .chunks(BLOCK)
                .map(|block| self.hasher.hash(block))
                .collect();
            self.tree_block(start + index, first, &hashes, buffer)
        })
    }

    /// Checks a level above the bottom one against the hashes of the blocks below it.
    fn level(&self, start: u64, below: u64, hashes: &[Hash]) -> Result<Vec<Hash>, VerityError> {
        let mut buffer = Blocks::default();
        hashes
            .chunks(HASHES_PER_BLOCK)
            .zip(0..)
            .map(|(hashes, index)| {
                let first = below + index * HASHES_PER_BLOCK as u64;
                self.tree_block(start + index, first, hashes, &mut buffer)
            })
            .collect()
    }

    /// Checks that tree block `block` holds exactly `hashes`, those of the blocks from `first` on.
    fn tree_block(
        &self,
        block: u64,
        first: u64,
        hashes: &[Hash],
        buffer: &mut Blocks,
    ) -> Result<Hash, VerityError> {
        self.read(block, 1, buffer)?;
        let (stored, padding) = buffer
            .split_at_checked(size_of_val(hashes))
            .ok_or(VerityError::Padding { block })?;
        let pairs = stored.chunks(size_of::<Hash>()).zip(hashes).zip(first..);
        for ((stored, computed), child) in pairs {
            if stored != computed {
                return Err(VerityError::Block { block: child });
            }
        }
        if padding.iter().any(|&byte| byte != 0) {
            return Err(VerityError::Padding { block });
        }
        Ok(self.hasher.hash(buffer))
    }
}
