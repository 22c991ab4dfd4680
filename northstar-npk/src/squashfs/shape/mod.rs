//! Whether the tree of an image is one that can be read, and in one way only.
//!
//! The library decompresses all tables before it looks at any of them, follows directories by
//! recursion, keeps for every name the whole path and the block list of the file, and finds
//! inodes by their number where the kernel follows references. So an image of some KiB could use
//! up the stack, or any amount of memory, and show other files here than where it is mounted. Here
//! all of it is looked through before, block by block and within a budget.

mod directories;
mod fields;
mod inodes;
mod metadata;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};

use self::directories::Directories;
pub(super) use self::inodes::Inode;
use self::inodes::{FILE, Inodes};
use self::metadata::{Metadata, Tables};
use super::SquashfsError;
use super::links::Links;
use super::superblock::Superblock;

/// Bytes of memory that tables and the list of all files may take together.
const MEMORY: u64 = 1 << 30;

/// What is left of [`MEMORY`].
#[derive(Clone, Copy)]
struct Budget(u64);

impl Budget {
    fn take(&mut self, bytes: u64) -> Result<(), SquashfsError> {
        let left = self.0.checked_sub(bytes);
        self.0 = left.ok_or(SquashfsError::Listing { limit: MEMORY })?;
        Ok(())
    }
}

/// The tables of an image that can be read in one way only.
pub(super) struct Shape {
    /// The inode table.
    table: Metadata,
    inodes: Inodes,
    /// The directory table.
    directories: Metadata,
    /// Index of the inode of the root directory.
    pub root: usize,
    /// Where what comes after the directories begins, in bytes from the start of the image.
    pub rest: u64,
    budget: Budget,
}

/// Refuses an image whose tables or list of files are too large, that is nested too deep, or that
/// readers might take for different trees. Returns the further names of its files.
pub(super) fn check(
    file: &File,
    offset: u64,
    superblock: &Superblock,
) -> Result<Links, SquashfsError> {
    let shape = Shape::read(file, offset, superblock)?;
    let mut counts = vec![0_u32; shape.inodes.len()];
    shape.walk(|_, index, inode| {
        if let Some(count) = counts.get_mut(index).filter(|_| inode.kind == FILE) {
            *count += 1;
        }
    })?;
    if !counts.iter().any(|&count| count > 1) {
        return Ok(Links::new());
    }
    let mut names: BTreeMap<usize, BTreeSet<PathBuf>> = BTreeMap::new();
    shape.walk(|path, index, _| {
        if counts.get(index).is_some_and(|&count| count > 1) {
            names.entry(index).or_default().insert(path.to_owned());
        }
    })?;
    let mut links = Links::new();
    for mut names in names.into_values() {
        if let Some(first) = names.pop_first() {
            links.extend(names.into_iter().map(|name| (name, first.clone())));
        }
    }
    Ok(links)
}

impl Shape {
    pub(super) fn read(
        file: &File,
        offset: u64,
        superblock: &Superblock,
    ) -> Result<Shape, SquashfsError> {
        let mut budget = Budget(MEMORY);
        let tables = Tables {
            file,
            offset,
            superblock,
        };
        let rest = tables.first_lookup_table(&mut budget)?;
        let directory_table = superblock.directory_table;
        let range = (superblock.inode_table, directory_table);
        let table = tables.metadata("inode table", range, &mut budget)?;
        let directories =
            tables.metadata("directory table", (directory_table, rest), &mut budget)?;
        let inodes = Inodes::read(&table, superblock, &mut budget)?;
        let root = table.position(superblock.root >> 16, superblock.root as u16);
        let root = root.and_then(|position| inodes.at(position));
        let Some((root, _)) = root.filter(|(_, inode)| inode.is_directory()) else {
            let table = "superblock";
            let what = "its root is not a directory";
            return Err(SquashfsError::Table { table, what });
        };
        Ok(Shape {
            table,
            inodes,
            directories,
            root,
            rest,
            budget,
        })
    }

    /// Hands each file below the root to `visit` with the index of its inode.
    pub(super) fn walk(
        &self,
        visit: impl FnMut(&Path, usize, &Inode),
    ) -> Result<(), SquashfsError> {
        let mut budget = self.budget;
        self.directories().walk(self.root, &mut budget, visit)
    }

    fn directories(&self) -> Directories<'_> {
        Directories {
            table: &self.table,
            inodes: &self.inodes,
            bytes: &self.directories,
        }
    }

    /// The names in a directory, with the indices of their inodes.
    pub(super) fn names(
        &self,
        index: usize,
        path: &Path,
    ) -> Result<Vec<(OsString, usize)>, SquashfsError> {
        let mut budget = self.budget;
        let Some(listing) = &self.inode(index)?.listing else {
            return Ok(Vec::new());
        };
        self.directories().names(listing, path, &mut budget)
    }

    pub(super) fn inode(&self, index: usize) -> Result<&Inode, SquashfsError> {
        let inode = self.inodes.get(index);
        inode.ok_or(SquashfsError::Table {
            table: "inode table",
            what: "there is no such inode",
        })
    }

    /// An inode as it is in the table.
    pub(super) fn bytes(&self, index: usize) -> Result<&[u8], SquashfsError> {
        let start = self.inode(index)?.position;
        let next = self.inodes.get(index + 1);
        let end = next.map_or(self.table.bytes.len(), |next| next.position);
        Ok(self.table.bytes.get(start..end).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
