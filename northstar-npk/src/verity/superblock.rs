//! The verity superblock: one block between image and tree.
//!
//! It is not under the signature. It has one allowed value for every field but three: the number
//! of data blocks has to be the signed one, a wrong salt gives a wrong root hash, and the uuid
//! is not used for anything.

use crate::limits::BLOCK;

/// Largest salt in bytes.
pub const SALT_LIMIT: usize = 256;

const MAGIC: [u8; 8] = *b"verity\0\0";
const UUID_SIZE: usize = 16;
const ALGORITHM_SIZE: usize = 32;
const ALGORITHM: &[u8] = b"sha256";

/// A superblock that was checked, or is about to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Superblock {
    pub uuid: [u8; UUID_SIZE],
    pub data_blocks: u64,
    /// At most [`SALT_LIMIT`] bytes.
    pub salt: Vec<u8>,
}

/// Why a verity superblock is not accepted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SuperblockError {
    /// A field has another value than the only one the format has.
    #[error("verity superblock has an unexpected {field}")]
    Field {
        /// The field.
        field: &'static str,
    },
    /// The salt is longer than the field for it.
    #[error("verity superblock has a salt of {size} bytes, more than {SALT_LIMIT}")]
    Salt {
        /// Size in bytes.
        size: u16,
    },
    /// The number of data blocks is not what was signed.
    #[error("verity superblock counts {found} data blocks instead of {expected}")]
    DataBlocks {
        /// The number in the superblock.
        found: u64,
        /// The number that follows from the signed offset.
        expected: u64,
    },
}

impl Superblock {
    /// The block as it is written.
    pub(crate) fn encode(&self) -> [u8; BLOCK] {
        let salt_size = self.salt.len() as u16;
        let mut algorithm = [0; ALGORITHM_SIZE];
        copy_front(&mut algorithm, ALGORITHM);
        let mut salt = [0; SALT_LIMIT];
        copy_front(&mut salt, &self.salt);

        let parts: [&[u8]; 11] = [
            &MAGIC,
            &1_u32.to_le_bytes(), // version
            &1_u32.to_le_bytes(), // hash type: salt in front
            &self.uuid,
            &algorithm,
            &(BLOCK as u32).to_le_bytes(), // data block
            &(BLOCK as u32).to_le_bytes(), // hash block
            &self.data_blocks.to_le_bytes(),
            &salt_size.to_le_bytes(),
            &[0; 6],
            &salt,
        ];
        let mut block = [0; BLOCK];
        copy_front(&mut block, &parts.concat());
        block
    }

    /// Checks every byte of `block` but the uuid and what the root hash decides about.
    pub(crate) fn parse(block: &[u8; BLOCK], data_blocks: u64) -> Result<Self, SuperblockError> {
        let mut rest = block.as_slice();
        expect(&mut rest, &MAGIC, "magic")?;
        expect(&mut rest, &1_u32.to_le_bytes(), "version")?;
        expect(&mut rest, &1_u32.to_le_bytes(), "hash type")?;
        let uuid = array(&mut rest, "uuid")?;
        let mut algorithm = [0; ALGORITHM_SIZE];
        copy_front(&mut algorithm, ALGORITHM);
        expect(&mut rest, &algorithm, "algorithm")?;
        expect(&mut rest, &(BLOCK as u32).to_le_bytes(), "data block size")?;
        expect(&mut rest, &(BLOCK as u32).to_le_bytes(), "hash block size")?;
        let found = u64::from_le_bytes(array(&mut rest, "data block count")?);
        if found != data_blocks {
            return Err(SuperblockError::DataBlocks {
                found,
                expected: data_blocks,
            });
        }
        let size = u16::from_le_bytes(array(&mut rest, "salt size")?);
        expect(&mut rest, &[0; 6], "padding")?;
        let (salt, padding) = rest
            .split_at_checked(size.into())
            .filter(|(salt, _)| salt.len() <= SALT_LIMIT)
            .ok_or(SuperblockError::Salt { size })?;
        if padding.iter().any(|&byte| byte != 0) {
            return Err(SuperblockError::Field { field: "padding" });
        }
        Ok(Superblock {
            uuid,
            data_blocks,
            salt: salt.to_vec(),
        })
    }
}

fn copy_front(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

fn array<const N: usize>(
    rest: &mut &[u8],
    field: &'static str,
) -> Result<[u8; N], SuperblockError> {
    let (taken, tail) = rest
        .split_first_chunk()
        .ok_or(SuperblockError::Field { field })?;
    *rest = tail;
    Ok(*taken)
}

fn expect(rest: &mut &[u8], value: &[u8], field: &'static str) -> Result<(), SuperblockError> {
    *rest = rest
        .strip_prefix(value)
        .ok_or(SuperblockError::Field { field })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn superblock(salt: usize) -> Superblock {
        Superblock {
            uuid: [0x5a; 16],
            data_blocks: 0x1234,
            salt: vec![0xee; salt],
        }
    }

    #[test]
    fn every_salt_size_reads_back() {
        for size in 0..=SALT_LIMIT {
            let superblock = superblock(size);
            assert_eq!(
                Superblock::parse(&superblock.encode(), 0x1234),
                Ok(superblock)
            );
        }
    }

    #[test]
    fn other_values_are_refused() {
        let parse = |at: usize, value: u8| {
            let mut block = superblock(32).encode();
            block[at] = value;
            Superblock::parse(&block, 0x1234)
        };
        for (at, value, field) in [
            (0, b'V', "magic"),
            (8, 2, "version"),
            (12, 0, "hash type"),
            (35, b'5', "algorithm"),
            (63, 1, "algorithm"),
            (65, 2, "data block size"),
            (69, 2, "hash block size"),
            (87, 1, "padding"),
            (88 + 32, 1, "padding"),
            (88 + 256, 1, "padding"),
            (4095, 1, "padding"),
        ] {
            assert_eq!(
                parse(at, value),
                Err(SuperblockError::Field { field }),
                "byte {at}"
            );
        }
        assert_eq!(parse(81, 2), Err(SuperblockError::Salt { size: 0x220 }));
        assert_eq!(
            parse(72, 0x35),
            Err(SuperblockError::DataBlocks {
                found: 0x1235,
                expected: 0x1234
            })
        );
    }
}
