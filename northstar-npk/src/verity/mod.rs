//! The dm-verity hash tree of an image, format version 1 as `veritysetup` writes it.
//!
//! After the squashfs image come a superblock and the tree, the level with one block first. Each
//! 4096-byte block is hashed as `sha256(salt || block)`; a tree block holds 128 such hashes and is
//! zero after the last one. The root hash is the hash of the first tree block, or, when there is
//! one data block and so no tree, of that block. The kernel documents this in
//! `Documentation/admin-guide/device-mapper/verity.rst`.

mod arriving;
mod hash;
mod superblock;
mod tree;
mod verify;

use std::io;

use crate::limits::BLOCK_U64;
use crate::signature::Hash;

pub use arriving::ArrivingImage;
pub(crate) use superblock::Superblock;
pub use superblock::{SALT_LIMIT, SuperblockError};
pub(crate) use tree::build;
pub use tree::{HashTree, hash_tree};
pub use verify::{verify_image, verify_image_with};
pub(crate) use verify::{verify_image_counted, verify_root_block};

/// What dm-verity needs to know of a signed image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verity {
    /// Root hash of the tree.
    pub root_hash: Hash,
    /// Salt in front of each block, 0 to 256 bytes.
    pub salt: Vec<u8>,
    /// Number of 4096-byte blocks of the squashfs image; the superblock is the next one.
    pub data_blocks: u64,
    /// Where in the image the first block of the tree is in bytes: one block after the superblock.
    pub tree_offset_in_image: u64,
}

impl Verity {
    /// [`Verity::tree_offset_in_image`] in blocks, as a device-mapper table has it.
    pub fn hash_start_block(&self) -> u64 {
        self.tree_offset_in_image / BLOCK_U64
    }

    /// Blocks that data and tree have together with the superblock, which is the whole image.
    pub fn total_blocks(&self) -> u64 {
        self.data_blocks + 1 + tree::tree_blocks(self.data_blocks)
    }
}

/// Why an image is not the one its root hash stands for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerityError {
    /// The package is not signed, so there is nothing to compare with.
    #[error("image has no hash tree: the package is not signed")]
    Unsigned,
    /// A tree was asked for over nothing.
    #[error("an image without blocks has no hash tree")]
    Empty,
    /// A tree was asked for with a salt that is too long.
    #[error("a salt of {size} bytes is longer than {SALT_LIMIT}")]
    SaltSize {
        /// Size in bytes.
        size: usize,
    },
    /// Reading failed.
    #[error("failed to read block {block} of the image")]
    Read {
        /// Block of the image, from 0.
        block: u64,
        /// Cause; `UnexpectedEof` if the file shrank.
        source: io::Error,
    },
    /// A block does not have the hash its tree block says.
    #[error("block {block} of the image does not match its hash")]
    Block {
        /// Block of the image, from 0: data first, then superblock and tree.
        block: u64,
    },
    /// A tree block has other bytes than zero after its last hash.
    #[error("tree block {block} of the image is not zero after its last hash")]
    Padding {
        /// Block of the image, from 0.
        block: u64,
    },
    /// The first tree block, or the only data block, does not have the root hash.
    #[error("image does not match its root hash")]
    Root,
}

#[cfg(test)]
mod tests;
