//! Hashing an image while its package arrives.

use std::fs::File;

use super::hash::{BlockHasher, Blocks, HASHES_PER_BLOCK, read_blocks};
use super::tree::{levels, salt};
use super::verify::{verify_image, verify_upper_levels};
use super::{Verity, VerityError};
use crate::limits::{BLOCK, BLOCK_U64};
use crate::package::Image;
use crate::signature::Hash;

/// The data of a signed image, hashed as it arrives, so that little is left to do after the last byte.
///
/// The salt that a block is hashed with comes after the data. This begins with the one that the packer here derives from
/// the manifest, and where the superblock says another one, or any byte is missing, [`ArrivingImage::verify`] reads the
/// image from the file as [`verify_image`] does. So the bytes decide how long the check takes, never what it finds.
///
/// It takes time in proportion to the bytes it is given; which thread that is is up to the caller. Memory does not grow
/// with the image except for 32 bytes for each 512 KiB.
pub struct ArrivingImage {
    salt: Hash,
    hasher: BlockHasher,
    /// Where in the package the next byte is that is wanted.
    next: u64,
    /// Where in the package the data ends.
    end: u64,
    data_blocks: u64,
    /// The first bytes of a block that is not complete.
    partial: Vec<u8>,
    /// The tree block over the last blocks, up to its last hash.
    children: Vec<u8>,
    /// Hashes of the complete blocks of the level above the data.
    bottom: Vec<Hash>,
}

impl std::fmt::Debug for ArrivingImage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ArrivingImage")
            .field("next", &self.next)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl ArrivingImage {
    /// The image of `data_blocks` blocks that begins at `offset` in bytes in a package with this `manifest.yaml`.
    pub fn new(manifest: &[u8], offset: u64, data_blocks: u64) -> ArrivingImage {
        let salt = salt(manifest, data_blocks);
        ArrivingImage {
            salt,
            hasher: BlockHasher::new(&salt),
            next: offset,
            end: offset.saturating_add(data_blocks.saturating_mul(BLOCK_U64)),
            data_blocks,
            partial: Vec::new(),
            children: Vec::with_capacity(BLOCK),
            bottom: Vec::new(),
        }
    }

    /// Hashes what of `bytes`, which are at `position` in the package, belongs to the data of the image.
    ///
    /// Bytes have to come in the order of the package. Bytes that were given before are passed over, and once some were
    /// left out all later ones are.
    pub fn update(&mut self, position: u64, bytes: &[u8]) {
        let Some(known) = self.next.checked_sub(position) else {
            return;
        };
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        let bytes = bytes.get(known..).unwrap_or_default();
        let left = usize::try_from(self.end.saturating_sub(self.next)).unwrap_or(usize::MAX);
        let bytes = bytes.get(..left).unwrap_or(bytes);
        self.next += bytes.len() as u64;
        self.hash(bytes);
    }

    fn hash(&mut self, mut bytes: &[u8]) {
        if !self.partial.is_empty() {
            let missing = BLOCK.saturating_sub(self.partial.len());
            let (rest, following) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
            self.partial.extend_from_slice(rest);
            bytes = following;
            if self.partial.len() < BLOCK {
                return;
            }
            let block = std::mem::take(&mut self.partial);
            self.block(&block);
            self.partial = block;
            self.partial.clear();
        }
        let (blocks, rest) = bytes.as_chunks::<BLOCK>();
        for block in blocks {
            self.block(block);
        }
        self.partial.extend_from_slice(rest);
    }

    fn block(&mut self, block: &[u8]) {
        self.children.extend_from_slice(&self.hasher.hash(block));
        if self.children.len() == HASHES_PER_BLOCK * size_of::<Hash>() {
            self.close();
        }
    }

    /// Ends a tree block.
    fn close(&mut self) {
        self.children.resize(BLOCK, 0);
        self.bottom.push(self.hasher.hash(&self.children));
        self.children.clear();
    }

    /// Checks the image of the package in `file`, whose bytes these were, against its root hash.
    ///
    /// # Errors
    ///
    /// Those of [`verify_image`].
    pub fn verify(mut self, file: &File, image: &Image) -> Result<(), VerityError> {
        if let Some(verity) = &image.verity
            && self.is_of(image, verity)
        {
            if !self.children.is_empty() {
                self.close();
            }
            if self.matches(file, image.offset, verity) {
                return Ok(());
            }
        }
        // This is either not the salt that was expected, or it finds out what is wrong with the image.
        verify_image(file, image)
    }

    /// Whether all data of this image was hashed, with its salt.
    fn is_of(&self, image: &Image, verity: &Verity) -> bool {
        let end = image.offset.saturating_add(image.squashfs_size);
        self.next == end
            && self.end == end
            && self.data_blocks == verity.data_blocks
            && verity.salt == self.salt
    }

    /// Whether the tree in the file is the one over the data. A block of the level above the data is the right one, to
    /// its last byte, if it has the hash of the one that was computed.
    fn matches(&self, file: &File, offset: u64, verity: &Verity) -> bool {
        let Some(&blocks) = levels(verity.data_blocks).first() else {
            // One block, and its hash is the root hash: to read it again is the simplest.
            return false;
        };
        let start = verity.total_blocks().saturating_sub(blocks);
        let mut buffer = Blocks::default();
        let stored = (start..).zip(&self.bottom).all(|(block, expected)| {
            read_blocks(file, offset, block, 1, &mut buffer).is_ok()
                && self.hasher.hash(&buffer) == *expected
        });
        stored
            && self.bottom.len() as u64 == blocks
            && verify_upper_levels(file, offset, verity, &self.bottom).is_ok()
    }
}
