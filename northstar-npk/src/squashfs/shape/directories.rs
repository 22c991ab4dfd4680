//! Following the directories of an image from its root.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::Budget;
use super::fields::Fields;
use super::inodes::{Inode, Inodes, Listing};
use super::metadata::Metadata;
use crate::squashfs::SquashfsError;

/// How deep directories may lie within each other. Less than the stack of a thread has room for, and
/// as deep as a path of 4096 bytes goes with names of seven.
pub(super) const DEPTH: usize = 512;
/// About what the library takes for a file beside its path and content.
const NODE: u64 = 256;
/// Most entries behind one header.
const ENTRIES: u32 = 256;
/// Longest name in bytes.
const NAME: usize = 256;

/// The directories of an image.
pub(super) struct Directories<'a> {
    /// The inode table, which references lead into.
    pub table: &'a Metadata,
    pub inodes: &'a Inodes,
    /// The directory table.
    pub bytes: &'a Metadata,
}

/// A directory that is still to be looked through.
struct Open<'a> {
    path: PathBuf,
    depth: usize,
    listing: &'a Listing,
}

/// An entry, with the inode that it leads to.
struct Entry<'a> {
    name: &'a [u8],
    index: usize,
    inode: &'a Inode,
}

impl<'a> Directories<'a> {
    /// Goes through all directories below the inode with the index `root`, and hands each file to
    /// `visit` with the index of its inode.
    ///
    /// Whether a reader finds the inode of an entry by its number, as the library does, or by its
    /// reference, as the kernel does, and whether it looks through a directory or for a name, it has to find the
    /// same; otherwise that is an error.
    pub(super) fn walk(
        &self,
        root: usize,
        budget: &mut Budget,
        mut visit: impl FnMut(&Path, usize, &Inode),
    ) -> Result<(), SquashfsError> {
        let Some(listing) = self.inodes.get(root).and_then(|root| root.listing.as_ref()) else {
            return Ok(());
        };
        let mut visited = vec![false; self.inodes.len()];
        let mut enter = |index: usize| {
            let visited = visited.get_mut(index);
            visited.is_some_and(|visited| !std::mem::replace(visited, true))
        };
        enter(root);
        let mut open = vec![Open {
            path: PathBuf::from("/"),
            depth: 0,
            listing,
        }];
        while let Some(directory) = open.pop() {
            if directory.depth > DEPTH {
                return Err(SquashfsError::Depth { limit: DEPTH });
            }
            let entries = self.entries(directory.listing, budget);
            let entries = entries.map_err(|problem| problem.in_directory(&directory.path))?;
            for entry in entries {
                let path = directory.path.join(OsStr::from_bytes(entry.name));
                // The path in a list that has grown, and while the directory waits here.
                let length = 2 * path.as_os_str().len() as u64;
                budget.take(NODE + length + entry.inode.content)?;
                visit(&path, entry.index, entry.inode);
                if let Some(listing) = &entry.inode.listing {
                    if !enter(entry.index) {
                        let what = "a directory is in more than one place";
                        return Err(Problem::Invalid(what).in_directory(&directory.path));
                    }
                    open.push(Open {
                        path,
                        depth: directory.depth + 1,
                        listing,
                    });
                }
            }
        }
        Ok(())
    }

    /// The names in a directory, with the indices of their inodes.
    pub(super) fn names(
        &self,
        listing: &'a Listing,
        path: &Path,
        budget: &mut Budget,
    ) -> Result<Vec<(OsString, usize)>, SquashfsError> {
        let entries = self.entries(listing, budget);
        let entries = entries.map_err(|problem| problem.in_directory(path))?;
        let name = |entry: Entry<'_>| (OsStr::from_bytes(entry.name).to_owned(), entry.index);
        Ok(entries.into_iter().map(name).collect())
    }

    fn inode(&self, block: u64, offset: u16) -> Option<(usize, &'a Inode)> {
        self.inodes.at(self.table.position(block, offset)?)
    }

    /// All entries of a directory, in order.
    fn entries(
        &self,
        listing: &'a Listing,
        budget: &mut Budget,
    ) -> Result<Vec<Entry<'a>>, Problem> {
        let mut entries: Vec<Entry<'a>> = Vec::new();
        let mut indices = listing.index.iter().peekable();
        let start = match listing.size {
            0 => 0,
            _ => {
                let start = self.bytes.position(listing.block, listing.offset);
                start.ok_or(Problem::Invalid("they are not in the directory table"))?
            }
        };
        let bytes = self.bytes.bytes.get(start..);
        let bytes = bytes.and_then(|bytes| bytes.get(..listing.size));
        let mut fields = Fields(bytes.ok_or(Problem::Invalid("the directory table is too short"))?);
        while !fields.0.is_empty() {
            let position = listing.size - fields.0.len();
            let run = Run::take(&mut fields).ok_or(Problem::Invalid("a header is incomplete"))?;
            let first = entries.len();
            for _ in 0..run.count {
                let entry = self.entry(&run, &mut fields)?;
                budget
                    .take(size_of::<Entry<'_>>() as u64)
                    .map_err(Problem::Other)?;
                if entries.last().is_some_and(|last| last.name >= entry.name) {
                    return Err(Problem::Invalid("names are not sorted"));
                }
                entries.push(entry);
            }
            let name = entries.get(first).map(|entry| entry.name);
            if let Some(index) = indices.next_if(|index| index.position as usize == position) {
                let block = self.bytes.block(start + position);
                if block != Some(index.block.into()) || name != Some(&index.name) {
                    return Err(Problem::Invalid("the index leads elsewhere"));
                }
            }
        }
        match indices.next() {
            None => Ok(entries),
            Some(_) => Err(Problem::Invalid("the index leads elsewhere")),
        }
    }

    /// Takes an entry off the front.
    fn entry(&self, run: &Run, fields: &mut Fields<'a>) -> Result<Entry<'a>, Problem> {
        let Some((offset, delta, kind, name)) = entry(fields) else {
            return Err(Problem::Invalid("it is incomplete"));
        };
        if name.len() > NAME
            || matches!(name, b"." | b"..")
            || name.iter().any(|byte| matches!(byte, 0 | b'/'))
        {
            return Err(Problem::Invalid("its name is impossible"));
        }
        let Some((index, inode)) = self.inode(run.block.into(), offset) else {
            return Err(Problem::Invalid("it refers to no inode"));
        };
        // As the kernel computes it; the library adds with a sign, and both agree up to here.
        let number = run.number.checked_add(delta.into());
        let number = number.and_then(|number| u32::try_from(number).ok());
        if number != Some(inode.number) {
            return Err(Problem::Invalid(
                "number and reference stand for different inodes",
            ));
        }
        match kind == inode.kind {
            true => Ok(Entry { name, index, inode }),
            false => Err(Problem::Invalid("it has another type than its inode")),
        }
    }
}

/// What stands in front of some entries.
struct Run {
    count: u32,
    /// Start of the block of their inodes.
    block: u32,
    /// Inode number that theirs are relative to.
    number: i32,
}

impl Run {
    fn take(fields: &mut Fields<'_>) -> Option<Run> {
        let count = fields.u32()?.checked_add(1)?;
        let run = Run {
            count,
            block: fields.u32()?,
            number: fields.u32()?.cast_signed(),
        };
        (count <= ENTRIES).then_some(run)
    }
}

/// Offset, difference of the number, type and name.
fn entry<'a>(fields: &mut Fields<'a>) -> Option<(u16, i16, u16, &'a [u8])> {
    let offset = fields.u16()?;
    let delta = fields.u16()?.cast_signed();
    let kind = fields.u16()?;
    let size = usize::from(fields.u16()?) + 1;
    Some((offset, delta, kind, fields.take(size)?))
}

/// What is wrong in a directory.
enum Problem {
    Invalid(&'static str),
    Other(SquashfsError),
}

impl Problem {
    fn in_directory(self, path: &Path) -> SquashfsError {
        match self {
            Problem::Invalid(what) => SquashfsError::Entry {
                path: path.to_owned(),
                what,
            },
            Problem::Other(error) => error,
        }
    }
}
