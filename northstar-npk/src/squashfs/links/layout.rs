//! Putting new tables into an image.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::table::{BLOCK, Reference};
use crate::squashfs::superblock::Superblock;

/// Where things are in the image.
pub(super) struct Layout<'a> {
    pub superblock: &'a Superblock,
    /// Where fragments and ids begin, which go on to the end.
    pub rest: u64,
    pub root: Reference,
}

impl Layout<'_> {
    /// Puts new tables in the place of the old ones and moves what comes after them.
    pub(super) fn write(&self, out: &File, inodes: &[u8], directories: &[u8]) -> io::Result<u64> {
        let Superblock {
            inode_table,
            fragment_table,
            id_table,
            bytes_used,
            ..
        } = *self.superblock;
        let directory_table = inode_table + inodes.len() as u64;
        let rest = directory_table + directories.len() as u64;
        let moved = |at: u64| at.wrapping_sub(self.rest).wrapping_add(rest);

        // At most a MiB of ids, and 16 bytes for each fragment block.
        let mut tail = vec![0; (bytes_used - self.rest) as usize];
        out.read_exact_at(&mut tail, self.rest)?;
        let fragments = fragment_table.filter(|_| self.superblock.fragments > 0);
        let counts = [
            (fragments, u64::from(self.superblock.fragments) * 16),
            (Some(id_table), u64::from(self.superblock.ids) * 4),
        ];
        for (pointers, size) in counts {
            let Some(start) = pointers.map(|at| (at - self.rest) as usize) else {
                continue;
            };
            let pointers = tail.get_mut(start..).unwrap_or_default();
            for pointer in pointers
                .chunks_exact_mut(8)
                .take(size.div_ceil(BLOCK as u64) as usize)
            {
                let at = pointer.first_chunk().copied().unwrap_or_default();
                let at = moved(u64::from_le_bytes(at));
                pointer.copy_from_slice(&at.to_le_bytes());
            }
        }
        out.write_all_at(inodes, inode_table)?;
        out.write_all_at(directories, directory_table)?;
        out.write_all_at(&tail, rest)?;
        let used = rest + tail.len() as u64;
        let root = u64::from(self.root.block) << 16 | u64::from(self.root.offset);
        for (at, value) in [
            (32, root),
            (40, used),
            (48, moved(id_table)),
            (72, directory_table),
            (80, fragment_table.map_or(u64::MAX, moved)),
        ] {
            out.write_all_at(&value.to_le_bytes(), at)?;
        }
        out.set_len(used)?;
        Ok(used)
    }
}
