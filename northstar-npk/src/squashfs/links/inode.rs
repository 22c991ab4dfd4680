//! Writing inodes anew from what the library wrote.

use super::table::Reference;

/// The fields that all inodes begin with, but for the type.
fn common(inode: &[u8]) -> Option<&[u8]> {
    inode.get(2..16)
}

/// The inode of a directory with its entries elsewhere.
pub(super) fn directory(old: &[u8], start: Reference, size: usize) -> Option<Vec<u8>> {
    // `.` and `..` count as three bytes.
    let size = u32::try_from(size).ok()?.checked_add(3)?;
    let (links, parent) = match old.first()? {
        1 => (old.get(20..24)?, old.get(28..32)?),
        _ => (old.get(16..20)?, old.get(28..32)?),
    };
    let mut inode = Vec::new();
    match u16::try_from(size) {
        Ok(size) => {
            inode.extend([1, 0]);
            inode.extend(common(old)?);
            inode.extend(start.block.to_le_bytes());
            inode.extend(links);
            inode.extend(size.to_le_bytes());
            inode.extend(start.offset.to_le_bytes());
            inode.extend(parent);
        }
        Err(_) => {
            inode.extend([8, 0]);
            inode.extend(common(old)?);
            inode.extend(links);
            inode.extend(size.to_le_bytes());
            inode.extend(start.block.to_le_bytes());
            inode.extend(parent);
            // No index.
            inode.extend([0, 0]);
            inode.extend(start.offset.to_le_bytes());
            inode.extend(NO_XATTRS.to_le_bytes());
        }
    }
    Some(inode)
}

const NO_XATTRS: u32 = u32::MAX;

/// The inode of a file with that many names, which only the extended form can say.
pub(super) fn extended_file(old: &[u8], names: u32) -> Option<Vec<u8>> {
    let mut inode = Vec::new();
    if old.first()? != &2 {
        inode.extend(old);
        inode.get_mut(40..44)?.copy_from_slice(&names.to_le_bytes());
        return Some(inode);
    }
    let field = |at: usize| old.get(at..at + 4);
    inode.extend([9, 0]);
    inode.extend(common(old)?);
    inode.extend(field(16)?);
    inode.extend([0; 4]);
    inode.extend(field(28)?);
    // The upper half of the size, and no bytes in holes: with holes it would be extended already.
    inode.extend([0; 12]);
    inode.extend(names.to_le_bytes());
    inode.extend(field(20)?);
    inode.extend(field(24)?);
    inode.extend(NO_XATTRS.to_le_bytes());
    inode.extend(old.get(32..)?);
    Some(inode)
}
