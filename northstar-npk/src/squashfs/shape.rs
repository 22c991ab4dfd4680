//! Whether the tree of an image is one that can be read.
//!
//! The library follows directories by recursion, and keeps for every name the whole path and the
//! block list of the file. So an image of some KiB could use up the stack, or any amount of memory.
//! Here the directories are looked through before, without either.

use std::collections::BTreeSet;

use backhand::v4::inode::InodeInner;
use backhand::{BackhandError, Inode, Squashfs};

use super::SquashfsError;

/// How deep directories may lie within each other. Less than the stack of a thread has room for, and
/// as deep as a path of 4096 bytes goes with names of seven.
const DEPTH: usize = 512;
/// Bytes of memory that the list of all files may take.
const MEMORY: u64 = 1 << 30;
/// About what the library takes for a file beside its path and content.
const NODE: u64 = 256;

/// A directory that is still to be looked through.
struct Open<'a> {
    inode: &'a Inode,
    depth: usize,
    /// Length of its path in bytes.
    path: u64,
}

/// Refuses an image that is nested too deep, or whose list of files is too large.
pub(super) fn check(image: &Squashfs<'_>) -> Result<(), SquashfsError> {
    let mut visited = BTreeSet::new();
    let mut used: u64 = 0;
    let mut open = vec![Open {
        inode: &image.root_inode,
        depth: 0,
        path: 0,
    }];
    while let Some(directory) = open.pop() {
        if directory.depth > DEPTH {
            return Err(SquashfsError::Depth { limit: DEPTH });
        }
        // A directory is in one other only, so that this comes to an end.
        if !visited.insert(directory.inode.header.inode_number) {
            return Err(corrupted());
        }
        let mut listing = listing(image, directory.inode).ok_or_else(corrupted)?;
        while let Some((header, entries)) = Header::take(listing) {
            listing = entries;
            for _ in 0..header.entries {
                let Some((entry, rest)) = Entry::take(listing) else {
                    // The library ends a directory here, too.
                    listing = &[];
                    break;
                };
                listing = rest;
                let number = header.number.checked_add(entry.delta.into());
                let number = number.and_then(|number| u32::try_from(number).ok());
                let inode = number.and_then(|number| image.inodes.get(&number));
                let inode = inode.ok_or_else(corrupted)?;
                let path = directory.path + 1 + entry.name;
                used += NODE + path + content(inode);
                if used > MEMORY {
                    return Err(SquashfsError::Listing { limit: MEMORY });
                }
                if entry.is_directory {
                    open.push(Open {
                        inode,
                        depth: directory.depth + 1,
                        path,
                    });
                }
            }
        }
    }
    Ok(())
}

fn corrupted() -> SquashfsError {
    SquashfsError::Read(BackhandError::CorruptedOrInvalidSquashfs)
}

/// The entries of a directory, if they are where its inode says.
fn listing<'a>(image: &'a Squashfs<'_>, inode: &Inode) -> Option<&'a [u8]> {
    let (block, offset, size) = match &inode.inner {
        InodeInner::BasicDirectory(directory) => (
            directory.block_index,
            directory.block_offset,
            u32::from(directory.file_size),
        ),
        InodeInner::ExtendedDirectory(directory) => (
            directory.block_index,
            directory.block_offset,
            directory.file_size,
        ),
        _ => return None,
    };
    // The size counts `.` and `..`, which are not there, as three bytes.
    let size = match size {
        0..4 => return Some(&[]),
        size => usize::try_from(size - 3).ok()?,
    };
    let (blocks, bytes) = &image.dir_blocks;
    let start = usize::try_from(*blocks.get(&u64::from(block))?).ok()?;
    bytes.get(start..)?.get(usize::from(offset)..)?.get(..size)
}

/// Bytes of what the library clones for each name of a file.
fn content(inode: &Inode) -> u64 {
    let length = match &inode.inner {
        InodeInner::BasicFile(file) => 4 * file.block_sizes.len(),
        InodeInner::ExtendedFile(file) => 4 * file.block_sizes.len(),
        InodeInner::BasicSymlink(link) => link.target_path.len(),
        InodeInner::ExtendedSymlink(link) => link.target_path.len(),
        _ => 0,
    };
    length as u64
}

/// What stands in front of up to 256 entries.
struct Header {
    entries: u32,
    /// Inode number that those of the entries are relative to.
    number: i32,
}

impl Header {
    /// Takes one off the front.
    fn take(bytes: &[u8]) -> Option<(Header, &[u8])> {
        let (header, rest) = bytes.split_first_chunk::<12>()?;
        let [a, b, c, d, _, _, _, _, e, f, g, h] = *header;
        let count = u32::from_le_bytes([a, b, c, d]);
        let header = Header {
            entries: count.checked_add(1)?,
            number: i32::from_le_bytes([e, f, g, h]),
        };
        (count <= 256).then_some((header, rest))
    }
}

/// What is needed of an entry.
struct Entry {
    delta: i16,
    is_directory: bool,
    /// Length of the name in bytes.
    name: u64,
}

impl Entry {
    /// Takes one off the front.
    fn take(bytes: &[u8]) -> Option<(Entry, &[u8])> {
        let (entry, rest) = bytes.split_first_chunk::<8>()?;
        let [_, _, a, b, c, d, e, f] = *entry;
        let name = usize::from(u16::from_le_bytes([e, f])) + 1;
        let entry = Entry {
            delta: i16::from_le_bytes([a, b]),
            // Basic and extended.
            is_directory: matches!(u16::from_le_bytes([c, d]), 1 | 8),
            name: name as u64,
        };
        Some((entry, rest.get(name..)?))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use super::super::list;
    use super::*;
    use crate::package::Image;

    /// Metadata in blocks that are not compressed.
    fn blocks(bytes: &[u8]) -> Vec<u8> {
        let blocks = bytes.chunks(8192).map(|block| {
            let size = block.len() as u16 | 0x8000;
            [&size.to_le_bytes(), block].concat()
        });
        blocks.collect::<Vec<_>>().concat()
    }

    /// Where a byte of such metadata is: the start of its block, and how far it is inside.
    fn place(at: usize) -> (u32, u16) {
        ((at / 8192 * 8194) as u32, (at % 8192) as u16)
    }

    /// An image of these tables.
    fn image(count: u32, inodes: &[u8], directories: &[u8]) -> (File, Image) {
        let inodes = blocks(inodes);
        let directories = blocks(directories);
        let id = blocks(&1000_u32.to_le_bytes());
        let inode_table = 96;
        let directory_table = inode_table + inodes.len() as u64;
        let id_block = directory_table + directories.len() as u64;
        let id_table = id_block + id.len() as u64;
        let mut bytes = Vec::new();
        for field in [0x7371_7368, count, 0, 4096, 0] {
            bytes.extend(u32::to_le_bytes(field));
        }
        // Compression, logarithm of the block size, flags (no extended attributes), ids, version.
        for field in [1, 12, 0x210, 1, 4, 0] {
            bytes.extend(u16::to_le_bytes(field));
        }
        let none = u64::MAX;
        for field in [
            0,
            id_table + 8,
            id_table,
            none,
            inode_table,
            directory_table,
            none,
            none,
        ] {
            bytes.extend(u64::to_le_bytes(field));
        }
        bytes.extend([inodes, directories, id].concat());
        bytes.extend(id_block.to_le_bytes());
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let image = Image {
            offset: 0,
            size: bytes.len() as u64,
            squashfs_size: bytes.len() as u64,
            verity: None,
        };
        (file, image)
    }

    /// What all inodes begin with.
    fn inode(kind: u16, number: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        for field in [kind, 0o755, 0, 0] {
            bytes.extend(field.to_le_bytes());
        }
        bytes.extend([0_u32.to_le_bytes(), number.to_le_bytes()].concat());
        bytes
    }

    fn basic_directory(number: u32, at: usize, size: u16) -> Vec<u8> {
        let (block, offset) = place(at);
        let mut bytes = inode(1, number);
        bytes.extend([block.to_le_bytes(), 2_u32.to_le_bytes()].concat());
        bytes.extend([size.to_le_bytes(), offset.to_le_bytes()].concat());
        bytes.extend(0_u32.to_le_bytes());
        bytes
    }

    fn header(entries: u32, number: u32) -> Vec<u8> {
        let fields = [entries - 1, 0, number];
        fields
            .iter()
            .flat_map(|field| field.to_le_bytes())
            .collect()
    }

    fn entry(delta: i16, kind: u16) -> Vec<u8> {
        let mut bytes = [0_u16.to_le_bytes(), delta.to_le_bytes()].concat();
        bytes.extend([kind.to_le_bytes(), 0_u16.to_le_bytes()].concat());
        bytes.push(b'a');
        bytes
    }

    /// Directories within each other.
    fn nested(count: u32) -> (File, Image) {
        let (mut inodes, mut directories) = (Vec::new(), Vec::new());
        for number in 1..=count {
            let size = if number == count { 3 } else { 24 };
            inodes.extend(basic_directory(number, directories.len(), size));
            if number < count {
                directories.extend([header(1, number + 1), entry(0, 1)].concat());
            }
        }
        image(count, &inodes, &directories)
    }

    #[test]
    fn deep_trees_are_refused() {
        let (file, image) = nested(DEPTH as u32 + 1);
        assert_eq!(list(&file, &image).unwrap().len(), DEPTH + 1);
        for count in [DEPTH as u32 + 2, 30_000] {
            let (file, image) = nested(count);
            let error = list(&file, &image).unwrap_err();
            assert!(
                matches!(error, SquashfsError::Depth { limit: DEPTH }),
                "{count}: {error:?}"
            );
        }
    }

    #[test]
    fn many_names_of_a_large_file_are_refused() {
        const BLOCKS: usize = 64 * 1024;
        let names = |count: usize| {
            let mut directory = Vec::new();
            for _ in 0..count {
                directory.extend([header(256, 2), entry(0, 2).repeat(256)].concat());
            }
            let mut inodes = basic_directory(1, 0, directory.len() as u16 + 3);
            inodes.extend(inode(2, 2));
            for field in [0, u32::MAX, 0, (BLOCKS * 4096) as u32] {
                inodes.extend(field.to_le_bytes());
            }
            inodes.extend(vec![0; 4 * BLOCKS]);
            image(2, &inodes, &directory)
        };
        let (file, image) = names(1);
        assert_eq!(list(&file, &image).unwrap().len(), 257);
        let (file, image) = names(20);
        let error = list(&file, &image).unwrap_err();
        assert!(
            matches!(error, SquashfsError::Listing { limit: MEMORY }),
            "{error:?}"
        );
    }

    #[test]
    fn directories_that_are_not_where_they_are_said_to_be_are_refused() {
        let one = [header(1, 1), entry(0, 1)].concat();
        // Sizes and numbers that wrap around.
        let mut extended = inode(8, 1);
        for field in [2, u32::MAX, 0, 0] {
            extended.extend(field.to_le_bytes());
        }
        extended.extend([0_u16.to_le_bytes(), 8_u16.to_le_bytes()].concat());
        extended.extend(u32::MAX.to_le_bytes());
        let wrapping = [header(1, i32::MAX as u32), entry(1, 1)].concat();
        for (inodes, directories) in [
            (extended, one.clone()),
            (basic_directory(1, 0, 24), wrapping),
            (basic_directory(1, 0, 25), one.clone()),
            // In itself.
            (basic_directory(1, 0, 24), one),
        ] {
            let (file, image) = image(1, &inodes, &directories);
            let error = list(&file, &image).unwrap_err();
            assert!(
                matches!(
                    error,
                    SquashfsError::Read(BackhandError::CorruptedOrInvalidSquashfs)
                ),
                "{error:?}"
            );
        }
    }
}
