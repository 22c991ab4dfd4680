//! The superblock of an image, as far as it says whether the image can be one.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::SquashfsError;

/// Size of the superblock in bytes.
const SIZE: usize = 96;
const MAGIC: u32 = 0x7371_7368;
/// Where a table would be that the image does not have.
const NO_TABLE: u64 = u64::MAX;
/// The flag for a table of inodes by number, for NFS.
const EXPORTABLE: u16 = 0x80;

/// What a superblock says. Positions are in bytes from the start of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Superblock {
    /// Bytes of the image, without what it was padded with.
    pub bytes_used: u64,
    /// Number of inodes.
    pub inodes: u32,
    /// Block size of files as a power of two.
    pub block_log: u16,
    /// Number of blocks that short files share.
    pub fragments: u32,
    /// Number of users and groups.
    pub ids: u16,
    /// What blocks are compressed with, as squashfs numbers it.
    pub compression: u16,
    /// Reference to the inode of the root directory.
    pub root: u64,
    /// Position of the inodes.
    pub inode_table: u64,
    /// Position of the directories, right after the inodes.
    pub directory_table: u64,
    /// Position of the pointers to the fragments, if there are any.
    pub fragment_table: Option<u64>,
    /// Position of the pointers to the inodes by number, if there are any.
    pub export_table: Option<u64>,
    /// Position of the pointers to the ids.
    pub id_table: u64,
}

impl Superblock {
    /// Reads the superblock at `offset` of an image that has room for `size` bytes.
    ///
    /// It is of version 4.0 and names a compression that the kernel has, its block size is one, and
    /// its tables are within the image. Everything else is for whoever reads them.
    pub(super) fn read(file: &File, offset: u64, size: u64) -> Result<Superblock, SquashfsError> {
        let invalid = |field| SquashfsError::Superblock { field };
        if size < SIZE as u64 {
            return Err(invalid("size"));
        }
        let mut bytes = [0; SIZE];
        file.read_exact_at(&mut bytes, offset)
            .map_err(SquashfsError::ReadSuperblock)?;
        Superblock::parse(&bytes, size).map_err(invalid)
    }

    fn parse(bytes: &[u8; SIZE], size: u64) -> Result<Superblock, &'static str> {
        let u16_at = |at| u16::from_le_bytes(field(bytes, at));
        let u32_at = |at| u32::from_le_bytes(field(bytes, at));
        let u64_at = |at| u64::from_le_bytes(field(bytes, at));
        let check = |good: bool, name| if good { Ok(()) } else { Err(name) };

        check(u32_at(0) == MAGIC, "magic")?;
        check((u16_at(28), u16_at(30)) == (4, 0), "version")?;
        let block_size = u32_at(12);
        check(
            block_size.is_power_of_two() && (4096..=1024 * 1024).contains(&block_size),
            "block size",
        )?;
        check(
            1_u32.checked_shl(u16_at(22).into()) == Some(block_size),
            "block size",
        )?;
        // gzip, lzo, xz, lz4, zstd.
        check(matches!(u16_at(20), 1 | 3 | 4 | 5 | 6), "compression")?;
        let bytes_used = u64_at(40);
        check((SIZE as u64..=size).contains(&bytes_used), "size")?;
        let is_inside = |table: u64| (SIZE as u64..bytes_used).contains(&table);
        for (at, name) in [
            (48, "id table"),
            (64, "inode table"),
            (72, "directory table"),
        ] {
            check(is_inside(u64_at(at)), name)?;
        }
        for (at, name) in [
            (56, "table of extended attributes"),
            (80, "fragment table"),
            (88, "export table"),
        ] {
            check(u64_at(at) == NO_TABLE || is_inside(u64_at(at)), name)?;
        }
        let optional = |at| Some(u64_at(at)).filter(|&table| table != NO_TABLE);
        Ok(Superblock {
            bytes_used,
            inodes: u32_at(4),
            block_log: u16_at(22),
            fragments: u32_at(16),
            ids: u16_at(26),
            compression: u16_at(20),
            root: u64_at(32),
            inode_table: u64_at(64),
            directory_table: u64_at(72),
            fragment_table: optional(80),
            export_table: optional(88).filter(|_| u16_at(24) & EXPORTABLE != 0),
            id_table: u64_at(48),
        })
    }
}

/// The `N` bytes at `at`, which is within the block.
fn field<const N: usize>(bytes: &[u8; SIZE], at: usize) -> [u8; N] {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk());
    field.copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> [u8; SIZE] {
        let mut block = [0; SIZE];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"hsqs");
        put(4, &7_u32.to_le_bytes());
        put(16, &3_u32.to_le_bytes());
        put(24, &EXPORTABLE.to_le_bytes());
        put(26, &2_u16.to_le_bytes());
        put(32, &0x1234_u64.to_le_bytes());
        put(12, &131_072_u32.to_le_bytes());
        put(20, &1_u16.to_le_bytes());
        put(22, &17_u16.to_le_bytes());
        put(28, &4_u16.to_le_bytes());
        put(40, &5000_u64.to_le_bytes());
        put(48, &4900_u64.to_le_bytes());
        put(56, &NO_TABLE.to_le_bytes());
        put(64, &4000_u64.to_le_bytes());
        put(72, &4500_u64.to_le_bytes());
        put(80, &4800_u64.to_le_bytes());
        put(88, &NO_TABLE.to_le_bytes());
        block
    }

    #[test]
    fn a_good_one_is_read() {
        let superblock = Superblock::parse(&block(), 8192);
        let expected = Superblock {
            bytes_used: 5000,
            inodes: 7,
            block_log: 17,
            fragments: 3,
            ids: 2,
            compression: 1,
            root: 0x1234,
            inode_table: 4000,
            directory_table: 4500,
            fragment_table: Some(4800),
            export_table: None,
            id_table: 4900,
        };
        assert_eq!(superblock, Ok(expected));
        assert_eq!(Superblock::parse(&block(), 5000), superblock);
        // What is not flagged is not there.
        let mut block = block();
        block[88..96].copy_from_slice(&4850_u64.to_le_bytes());
        let found = |block: &[u8; SIZE]| Superblock::parse(block, 5000).unwrap().export_table;
        assert_eq!(found(&block), Some(4850));
        block[24] = 0;
        assert_eq!(found(&block), None);
    }

    #[test]
    fn what_no_image_has_is_named() {
        for (at, bytes, name) in [
            (0, 0_u64, "magic"),
            (12, 131_073, "block size"),
            (22, 1 << 16 | 16, "block size"),
            (22, 32, "block size"),
            (20, 17 << 16, "compression"),
            (20, 17 << 16 | 2, "compression"),
            (20, 17 << 16 | 7, "compression"),
            (28, 3, "version"),
            (28, 4 | 1 << 16, "version"),
            (40, 95, "size"),
            (40, 8193, "size"),
            (48, 5000, "id table"),
            (48, NO_TABLE, "id table"),
            (56, 5000, "table of extended attributes"),
            (64, 95, "inode table"),
            (72, 1 << 63, "directory table"),
            (80, 6000, "fragment table"),
            (88, 0, "export table"),
        ] {
            let mut block = block();
            let bytes = bytes.to_le_bytes();
            let count = match at {
                12 => 4,
                22 => 2,
                20 | 28 | 0 => 4,
                _ => 8,
            };
            block[at..at + count].copy_from_slice(&bytes[..count]);
            assert_eq!(Superblock::parse(&block, 8192), Err(name), "{at}");
        }
    }
}
