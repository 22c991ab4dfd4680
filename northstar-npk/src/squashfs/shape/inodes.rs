//! The inodes of an image.

use super::Budget;
use super::fields::Fields;
use super::metadata::Metadata;
use crate::squashfs::SquashfsError;
use crate::squashfs::superblock::Superblock;
use crate::squashfs::tree::SYMLINK as LONGEST_TARGET;

const TABLE: &str = "inode table";
/// Where a file would say that it has no part in a fragment block.
const NO_FRAGMENT: u32 = u32::MAX;
/// About what the library takes for an inode beside its lists, in a map that has grown.
const INODE: u64 = 400;
/// About what it takes for an entry of the index of a directory beside its name.
const INDEX: u64 = 64;

/// The basic types, as directories name them.
const DIRECTORY: u16 = 1;
pub(super) const FILE: u16 = 2;
const SYMLINK: u16 = 3;

/// What is needed of an inode.
pub(in crate::squashfs) struct Inode {
    /// Where it is in the table.
    pub(super) position: usize,
    pub number: u32,
    /// Basic type: what an extended one is an extension of.
    pub kind: u16,
    /// What a directory holds.
    pub(super) listing: Option<Listing>,
    /// Bytes of what the library clones for each name.
    pub(super) content: u64,
}

impl Inode {
    pub(in crate::squashfs) fn is_directory(&self) -> bool {
        self.kind == DIRECTORY
    }
}

/// Where the entries of a directory are.
pub(super) struct Listing {
    /// Start of the block they begin in, from the start of the directory table.
    pub block: u64,
    pub offset: u16,
    /// Their size in bytes.
    pub size: usize,
    pub index: Vec<Index>,
}

/// Where a reader who looks for a name may begin.
pub(super) struct Index {
    /// Bytes from the first entry on.
    pub position: u32,
    /// Start of the block of that byte.
    pub block: u32,
    /// The first name there.
    pub name: Vec<u8>,
}

/// All inodes, in the order of the table.
pub(super) struct Inodes(Vec<Inode>);

impl Inodes {
    /// Reads all of the table. Each inode has a number of its own.
    pub(super) fn read(
        table: &Metadata,
        superblock: &Superblock,
        budget: &mut Budget,
    ) -> Result<Inodes, SquashfsError> {
        let invalid = |what| SquashfsError::Table { table: TABLE, what };
        let mut inodes = Vec::new();
        let mut fields = Fields(&table.bytes);
        while !fields.0.is_empty() {
            let position = table.bytes.len() - fields.0.len();
            budget.take(INODE)?;
            let inode = inode(&mut fields, position, superblock, budget)?;
            let inode = inode.ok_or_else(|| invalid("an inode is not complete"))?;
            if inode.kind == SYMLINK && inode.content > LONGEST_TARGET as u64 {
                return Err(invalid(
                    "a symbolic link points to a path of more than 255 bytes",
                ));
            }
            inodes.push(inode);
        }
        let mut numbers: Vec<u32> = inodes.iter().map(|inode| inode.number).collect();
        numbers.sort_unstable();
        let is_repeated = |pair: &[u32]| pair.first() == pair.last();
        if numbers.windows(2).any(is_repeated) {
            return Err(invalid("two inodes have the same number"));
        }
        if numbers.len() as u64 != u64::from(superblock.inodes) {
            return Err(invalid("it has not as many inodes as it should"));
        }
        Ok(Inodes(inodes))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, index: usize) -> Option<&Inode> {
        self.0.get(index)
    }

    /// The inode that begins at this byte of the table.
    pub(super) fn at(&self, position: usize) -> Option<(usize, &Inode)> {
        let found = self
            .0
            .binary_search_by_key(&position, |inode| inode.position);
        let index = found.ok()?;
        Some((index, self.0.get(index)?))
    }
}

/// Takes an inode off the front; nothing, if there is no whole one.
fn inode(
    fields: &mut Fields<'_>,
    position: usize,
    superblock: &Superblock,
    budget: &mut Budget,
) -> Result<Option<Inode>, SquashfsError> {
    let Some((kind, number)) = header(fields) else {
        return Ok(None);
    };
    let mut inode = Inode {
        position,
        number,
        kind: if kind > 7 { kind - 7 } else { kind },
        listing: None,
        content: 0,
    };
    let rest = match kind {
        1 => basic_directory(fields).map(|listing| inode.listing = Some(listing)),
        8 => {
            let listing = extended_directory(fields, budget)?;
            listing.map(|listing| inode.listing = Some(listing))
        }
        2 | 9 => file(fields, kind, superblock).map(|size| inode.content = size),
        3 | 10 => symlink(fields, kind).map(|size| inode.content = size),
        // Number of links, and of the device.
        4 | 5 => fields.take(8).map(drop),
        6 | 7 => fields.take(4).map(drop),
        // The same, and the index of extended attributes.
        11 | 12 => fields.take(12).map(drop),
        13 | 14 => fields.take(8).map(drop),
        _ => None,
    };
    budget.take(inode.content)?;
    Ok(rest.map(|()| inode))
}

/// Type and number.
fn header(fields: &mut Fields<'_>) -> Option<(u16, u32)> {
    let kind = fields.u16()?;
    // Mode, user, group and time.
    fields.take(10)?;
    Some((kind, fields.u32()?))
}

/// The size counts `.` and `..`, which are not there, as three bytes.
fn listing(block: u32, offset: u16, size: u32, index: Vec<Index>) -> Option<Listing> {
    Some(Listing {
        block: block.into(),
        offset,
        size: usize::try_from(size.saturating_sub(3)).ok()?,
        index,
    })
}

fn basic_directory(fields: &mut Fields<'_>) -> Option<Listing> {
    let block = fields.u32()?;
    fields.take(4)?;
    let size = fields.u16()?;
    let offset = fields.u16()?;
    // The number of the directory above, which nobody follows.
    fields.take(4)?;
    listing(block, offset, size.into(), Vec::new())
}

fn extended_directory(
    fields: &mut Fields<'_>,
    budget: &mut Budget,
) -> Result<Option<Listing>, SquashfsError> {
    let Some((block, offset, size, count)) = extended_directory_head(fields) else {
        return Ok(None);
    };
    let mut indices = Vec::new();
    for _ in 0..count {
        let Some(index) = index(fields) else {
            return Ok(None);
        };
        budget.take(INDEX + index.name.len() as u64)?;
        indices.push(index);
    }
    Ok(listing(block, offset, size, indices))
}

fn extended_directory_head(fields: &mut Fields<'_>) -> Option<(u32, u16, u32, u16)> {
    fields.take(4)?;
    let size = fields.u32()?;
    let block = fields.u32()?;
    fields.take(4)?;
    let count = fields.u16()?;
    let offset = fields.u16()?;
    fields.take(4)?;
    Some((block, offset, size, count))
}

fn index(fields: &mut Fields<'_>) -> Option<Index> {
    let position = fields.u32()?;
    let block = fields.u32()?;
    let size = usize::try_from(fields.u32()?).ok()?.checked_add(1)?;
    Some(Index {
        position,
        block,
        name: fields.take(size)?.to_vec(),
    })
}

/// Size in bytes of the list of blocks.
fn file(fields: &mut Fields<'_>, kind: u16, superblock: &Superblock) -> Option<u64> {
    let (fragment, size) = match kind {
        2 => {
            fields.take(4)?;
            let fragment = fields.u32()?;
            fields.take(4)?;
            (fragment, fields.u32()?.into())
        }
        _ => {
            fields.take(8)?;
            let size = fields.u64()?;
            // Bytes in holes, and number of links.
            fields.take(12)?;
            let fragment = fields.u32()?;
            fields.take(8)?;
            (fragment, size)
        }
    };
    let log = u32::from(superblock.block_log);
    // The last block is a short one, or in a fragment block.
    let blocks = match fragment {
        NO_FRAGMENT => size.div_ceil(1 << log),
        _ => size >> log,
    };
    let list = blocks.checked_mul(4)?;
    fields.take(usize::try_from(list).ok()?)?;
    Some(list)
}

/// Length of the target in bytes.
fn symlink(fields: &mut Fields<'_>, kind: u16) -> Option<u64> {
    fields.take(4)?;
    let size = fields.u32()?;
    fields.take(usize::try_from(size).ok()?)?;
    if kind == 10 {
        fields.take(4)?;
    }
    Some(size.into())
}
