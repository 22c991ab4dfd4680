//! Building a hash tree, with a salt that follows from the manifest.

use std::fs::File;

use sha2::{Digest, Sha256};

use super::hash::{BlockHasher, Blocks, HASHES_PER_BLOCK, children, read_blocks};
use super::{Superblock, VerityError};
use crate::checksum::Checksums;
use crate::limits::BLOCK;
use crate::parallel::on_all_cores;
use crate::progress::{Counter, Stage};
use crate::signature::Hash;

/// A tree with what is needed to use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashTree {
    pub(crate) superblock: Superblock,
    /// Hash of the first tree block, or, if there is one data block, of that.
    pub root_hash: Hash,
    /// The tree blocks in the order of the file; empty for one data block.
    pub(super) blocks: Vec<u8>,
}

impl HashTree {
    /// What comes after the data: superblock and tree, in blocks of 4096 bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.superblock.encode().as_slice(), &self.blocks].concat()
    }
}

/// Number of blocks of each level of the tree over `data_blocks`, the level above the data first.
pub(super) fn levels(data_blocks: u64) -> Vec<u64> {
    let mut levels = Vec::new();
    let mut blocks = data_blocks;
    while blocks > 1 {
        blocks = blocks.div_ceil(HASHES_PER_BLOCK as u64);
        levels.push(blocks);
    }
    levels
}

/// Number of blocks of the tree over `data_blocks`.
pub(crate) fn tree_blocks(data_blocks: u64) -> u64 {
    levels(data_blocks).iter().sum()
}

/// The salt that images of packages with this `manifest.yaml` get: a hash of the manifest and the number of blocks.
///
/// A salt does not have to be secret; it keeps hashes that somebody computed for one image from being of use for
/// another. It is derived from what comes before the image, so that whoever receives a package can hash the image while it
/// arrives: the superblock, which has the final word on the salt, comes after the data.
pub(super) fn salt(manifest: &[u8], data_blocks: u64) -> Hash {
    let mut salt = Sha256::new_with_prefix("northstar verity salt");
    salt.update(data_blocks.to_le_bytes());
    salt.update(manifest);
    salt.finalize().into()
}

/// A uuid that follows from the content of an image. Nothing reads it.
fn uuid(data_blocks: u64, checksums: &Checksums) -> [u8; 16] {
    let mut content = Sha256::new_with_prefix("northstar verity uuid");
    content.update(data_blocks.to_le_bytes());
    for piece in &checksums.pieces {
        content.update(piece.to_le_bytes());
    }
    let hash = Hash::from(content.finalize());
    custom_uuid(u128::from_be_bytes(first_half(&hash)))
}

/// Builds the tree over the `data_blocks` blocks of `file` that begin at `offset` in bytes.
///
/// Salt and uuid are derived from the manifest and the content, so that the same package always gets the same tree.
pub(crate) fn build(
    file: &File,
    offset: u64,
    data_blocks: u64,
    manifest: &[u8],
    checksums: &Checksums,
    counter: &Counter<'_>,
) -> Result<HashTree, VerityError> {
    let data = Data {
        file,
        offset,
        blocks: data_blocks,
    };
    let salt = salt(manifest, data_blocks).to_vec();
    build_salted(data, salt, uuid(data_blocks, checksums), counter)
}

/// Builds the tree over the first `data_blocks` blocks of `file`, on all cores, with a given salt of
/// at most [`SALT_LIMIT`](super::SALT_LIMIT) bytes and a given uuid, which nothing depends on.
///
/// The result is that of `veritysetup format` with the same salt, block by block.
pub fn hash_tree(
    file: &File,
    data_blocks: u64,
    salt: &[u8],
    uuid: [u8; 16],
) -> Result<HashTree, VerityError> {
    if salt.len() > super::SALT_LIMIT {
        return Err(VerityError::SaltSize { size: salt.len() });
    }
    if data_blocks == 0 {
        return Err(VerityError::Empty);
    }
    let data = Data {
        file,
        offset: 0,
        blocks: data_blocks,
    };
    let counter = Counter::new(None, Stage::HashTree, 0);
    build_salted(data, salt.to_vec(), uuid, &counter)
}

/// The blocks that a tree is built over.
#[derive(Clone, Copy)]
struct Data<'a> {
    file: &'a File,
    offset: u64,
    blocks: u64,
}

fn first_half(hash: &Hash) -> [u8; 16] {
    let mut half = [0; 16];
    for (to, from) in half.iter_mut().zip(hash) {
        *to = *from;
    }
    half
}

/// A uuid of version 8 (RFC 9562), the one for values of an application's own making.
fn custom_uuid(seed: u128) -> [u8; 16] {
    let version = 0xf << 76;
    let variant = 0b11 << 62;
    ((seed & !version & !variant) | 8 << 76 | 0b10 << 62).to_be_bytes()
}

/// Builds the tree with a given salt and uuid.
fn build_salted(
    data: Data<'_>,
    salt: Vec<u8>,
    uuid: [u8; 16],
    counter: &Counter<'_>,
) -> Result<HashTree, VerityError> {
    let data_blocks = data.blocks;
    let hasher = BlockHasher::new(&salt);
    let levels = levels(data_blocks);
    let (root_hash, blocks) = match levels.first() {
        None => {
            let mut block = Blocks::default();
            read_blocks(data.file, data.offset, 0, 1, &mut block)?;
            (hasher.hash(&block), Vec::new())
        }
        Some(&bottom) => {
            let begin = || Ok(Blocks::default());
            let bottom = on_all_cores(bottom, begin, |buffer, index| {
                let (first, count) = children(index, data_blocks);
                read_blocks(data.file, data.offset, first, count, buffer)?;
                counter.add(buffer.len() as u64);
                Ok(hash_block(&hasher, buffer))
            })?;
            above(&hasher, bottom.concat())
        }
    };
    Ok(HashTree {
        superblock: Superblock {
            uuid,
            data_blocks,
            salt,
        },
        root_hash,
        blocks,
    })
}

/// Builds the levels above `bottom` and puts them in front of it.
fn above(hasher: &BlockHasher, bottom: Vec<u8>) -> (Hash, Vec<u8>) {
    let mut levels = vec![bottom];
    loop {
        let below = levels.last().map(Vec::as_slice).unwrap_or_default();
        if below.len() <= BLOCK {
            let root_hash = hasher.hash(below);
            levels.reverse();
            return (root_hash, levels.concat());
        }
        let level = below
            .chunks(HASHES_PER_BLOCK * BLOCK)
            .flat_map(|children| hash_block(hasher, children))
            .collect();
        levels.push(level);
    }
}

/// The tree block over up to 128 blocks.
fn hash_block(hasher: &BlockHasher, children: &[u8]) -> Vec<u8> {
    let mut block = Vec::with_capacity(BLOCK);
    for child in children.chunks(BLOCK) {
        block.extend_from_slice(&hasher.hash(child));
    }
    block.resize(BLOCK, 0);
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_shrink_by_128_down_to_one_block() {
        for (data, expected) in [
            (1, vec![]),
            (2, vec![1]),
            (128, vec![1]),
            (129, vec![2, 1]),
            (16384, vec![128, 1]),
            (16385, vec![129, 2, 1]),
        ] {
            assert_eq!(levels(data), expected, "{data} blocks");
            assert_eq!(tree_blocks(data), expected.iter().sum::<u64>());
        }
    }

    #[test]
    fn the_uuid_carries_version_and_variant() {
        let ones = custom_uuid(u128::MAX);
        assert_eq!((ones[6] >> 4, ones[8] >> 6), (8, 2));
        let zeros = custom_uuid(0);
        assert_eq!((zeros[6] >> 4, zeros[8] >> 6), (8, 2));
    }
}
