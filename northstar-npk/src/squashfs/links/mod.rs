//! Further names of files: hard links.
//!
//! The library writes one inode for each name, so it is given each file under its first name only.
//! Then inodes and directories are written once more, with the other names in their directories and
//! the number of names in the inodes. Data, fragments and ids stay as the library wrote them.

mod inode;
mod layout;
mod table;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use self::layout::Layout;
use self::table::{Reference, Table};
use super::SquashfsError;
use super::codec::Codec;
use super::shape::{Inode, Shape};
use super::superblock::Superblock;

/// Each further name of a file with its first one, as paths in the image.
pub(crate) type Links = BTreeMap<PathBuf, PathBuf>;

/// Adds `links` to the image that `out` begins with. Returns its new size in bytes.
pub(super) fn add(out: &File, codec: Codec, links: &Links) -> Result<u64, SquashfsError> {
    let size = out.metadata().map_err(SquashfsError::WriteFile)?.len();
    let superblock = Superblock::read(out, 0, size)?;
    let shape = Shape::read(out, 0, &superblock)?;
    let mut names: BTreeMap<&Path, usize> = links.values().map(|first| (&**first, 0)).collect();
    shape.walk(|path, index, _| {
        if let Some(name) = names.get_mut(path) {
            *name = index;
        }
    })?;
    let mut rewrite = Rewrite {
        shape: &shape,
        additions: BTreeMap::new(),
        counts: BTreeMap::new(),
        written: BTreeMap::new(),
        inodes: Table::new(codec),
        directories: Table::new(codec),
    };
    for (path, first) in links {
        let index = names.get(&**first).copied().unwrap_or_default();
        let parent = path.parent().unwrap_or(Path::new("/")).to_owned();
        let name = path.file_name().unwrap_or_default().to_owned();
        rewrite
            .additions
            .entry(parent)
            .or_default()
            .push((name, index));
        *rewrite.counts.entry(index).or_insert(1) += 1;
    }
    let root = rewrite.directory(Path::new("/"), shape.root)?;
    let inodes = rewrite.inodes.finish()?;
    let directories = rewrite.directories.finish()?;
    let layout = Layout {
        superblock: &superblock,
        rest: shape.rest,
        root,
    };
    layout
        .write(out, &inodes, &directories)
        .map_err(SquashfsError::WriteFile)
}

/// An entry of a directory.
struct Name {
    name: OsString,
    index: usize,
    reference: Reference,
}

struct Rewrite<'a> {
    shape: &'a Shape,
    /// What comes to a directory: names, and indices of inodes.
    additions: BTreeMap<PathBuf, Vec<(OsString, usize)>>,
    /// How many names an inode has that has several.
    counts: BTreeMap<usize, u32>,
    /// Inodes with several names that are in the new table already.
    written: BTreeMap<usize, Reference>,
    inodes: Table,
    directories: Table,
}

impl Rewrite<'_> {
    /// Writes a directory with everything below it, and last its inode.
    fn directory(&mut self, path: &Path, index: usize) -> Result<Reference, SquashfsError> {
        let mut children: Vec<(OsString, usize)> = self.shape.names(index, path)?;
        children.extend(self.additions.remove(path).unwrap_or_default());
        children.sort_unstable_by(|(one, _), (other, _)| one.as_bytes().cmp(other.as_bytes()));
        let mut names = Vec::with_capacity(children.len());
        for (name, index) in children {
            let reference = match self.shape.inode(index)?.is_directory() {
                true => self.directory(&path.join(&name), index)?,
                false => self.file(index)?,
            };
            names.push(Name {
                name,
                index,
                reference,
            });
        }
        let listing = self.listing(&names)?;
        let start = self.directories.position();
        self.directories.put(&listing)?;
        let inode = inode::directory(self.shape.bytes(index)?, start, listing.len());
        self.inode(&inode.ok_or_else(too_large)?)
    }

    fn file(&mut self, index: usize) -> Result<Reference, SquashfsError> {
        let Some(&count) = self.counts.get(&index) else {
            return self.inode(self.shape.bytes(index)?);
        };
        if let Some(&reference) = self.written.get(&index) {
            return Ok(reference);
        }
        let inode = inode::extended_file(self.shape.bytes(index)?, count);
        let reference = self.inode(&inode.ok_or_else(too_large)?)?;
        self.written.insert(index, reference);
        Ok(reference)
    }

    fn inode(&mut self, bytes: &[u8]) -> Result<Reference, SquashfsError> {
        let reference = self.inodes.position();
        self.inodes.put(bytes)?;
        Ok(reference)
    }

    /// The entries of a directory behind their headers.
    fn listing(&self, names: &[Name]) -> Result<Vec<u8>, SquashfsError> {
        let mut inodes = Vec::with_capacity(names.len());
        for name in names {
            inodes.push((name, self.shape.inode(name.index)?));
        }
        let mut listing = Vec::new();
        let mut rest = inodes.as_slice();
        while let Some((first, inode)) = rest.first() {
            let fits = |(name, other): &&(&Name, &Inode)| {
                name.reference.block == first.reference.block
                    && delta(inode.number, other.number).is_some()
            };
            let count = rest.iter().take(RUN).take_while(fits).count().max(1);
            let (run, after) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            listing.extend((count as u32 - 1).to_le_bytes());
            listing.extend(first.reference.block.to_le_bytes());
            listing.extend(inode.number.to_le_bytes());
            for (name, other) in run {
                let delta = delta(inode.number, other.number).unwrap_or_default();
                entry(&mut listing, name, other.kind, delta);
            }
            rest = after;
        }
        Ok(listing)
    }
}

/// Most entries behind one header.
const RUN: usize = 256;

fn delta(base: u32, number: u32) -> Option<i16> {
    i16::try_from(i64::from(number) - i64::from(base)).ok()
}

fn entry(listing: &mut Vec<u8>, name: &Name, kind: u16, delta: i16) {
    let bytes = name.name.as_bytes();
    listing.extend(name.reference.offset.to_le_bytes());
    listing.extend(delta.to_le_bytes());
    listing.extend(kind.to_le_bytes());
    // A name has 1 to 255 bytes.
    listing.extend((bytes.len().saturating_sub(1) as u16).to_le_bytes());
    listing.extend(bytes);
}

fn too_large() -> SquashfsError {
    SquashfsError::WriteFile(io::ErrorKind::FileTooLarge.into())
}
