//! Comparing an image with what was put into it.
//!
//! Writers of squashfs images had bugs that only showed when the image was used, so nothing is
//! handed out that was not read back.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use backhand::{FilesystemReader, InnerNode, Node as ImageNode, SquashfsFileReader};

use super::read::{entry, open};
use super::source::Source;
use super::{Attributes, EntryKind, Node, NodeKind, SquashfsError, Tree};
use crate::package::Image;
use crate::parallel::on_all_cores;
use crate::progress::Counter;

/// What an image has to hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected<'a> {
    pub tree: &'a Tree,
    pub attributes: Attributes,
}

/// What is not as it should be, if anything.
type Difference = Option<&'static str>;

/// Reads all of an image back and compares it with what went into it, contents with the files they
/// came from.
pub(crate) fn check(
    file: &File,
    image: &Image,
    expected: Expected<'_>,
    counter: &Counter<'_>,
) -> Result<(), SquashfsError> {
    let reader = open(file, image)?;
    let nodes = expected.tree.nodes.iter();
    let mut left: BTreeMap<&Path, &Node> =
        nodes.map(|(path, node)| (path.as_path(), node)).collect();
    let mut contents = Vec::new();
    for (index, found) in reader.files().enumerate() {
        let path = found.fullpath.strip_prefix("/").unwrap_or(&found.fullpath);
        let difference = match left.remove(path) {
            None => Some("there is no such file"),
            Some(node) => {
                if let NodeKind::File(source) = &node.kind {
                    contents.push((index, source));
                }
                difference(found, node, expected.attributes)
            }
        };
        differs(&found.fullpath, difference)?;
    }
    if let Some((path, _)) = left.first_key_value() {
        differs(&Path::new("/").join(path), Some("the file is missing"))?;
    }
    drop(reader);
    compare_contents(file, image, &contents, counter)
}

fn differs(path: &Path, difference: Difference) -> Result<(), SquashfsError> {
    match difference {
        None => Ok(()),
        Some(what) => Err(SquashfsError::Differs {
            path: path.to_owned(),
            what,
        }),
    }
}

/// What of `found` but its content is not as it was put in.
fn difference(
    found: &ImageNode<SquashfsFileReader>,
    node: &Node,
    attributes: Attributes,
) -> Difference {
    let entry = entry(found);
    let found = Attributes {
        uid: entry.uid,
        gid: entry.gid,
        mtime: entry.mtime,
    };
    if found != attributes {
        return Some("owner or time");
    }
    let same = match (&node.kind, &entry.kind) {
        (NodeKind::Directory, EntryKind::Directory) => true,
        // All links have the same mode.
        (NodeKind::Symlink(to), EntryKind::Symlink { target }) if to == target => return None,
        (NodeKind::Fifo, EntryKind::Fifo) => true,
        (
            NodeKind::CharacterDevice { major, minor },
            EntryKind::CharacterDevice { major: a, minor: b },
        ) => (major, minor) == (a, b),
        (NodeKind::File(_), EntryKind::File { .. }) => true,
        _ => false,
    };
    match (same, entry.mode == node.mode) {
        (false, _) => Some("type"),
        (_, false) => Some("mode"),
        _ => None,
    }
}

/// Compares contents on all cores, each with a reader of its own: one reader serves one thread at
/// a time.
fn compare_contents(
    file: &File,
    image: &Image,
    contents: &[(usize, &Source)],
    counter: &Counter<'_>,
) -> Result<(), SquashfsError> {
    let done = on_all_cores(
        contents.len() as u64,
        || open(file, image),
        |reader, turn| {
            let Some(&(index, source)) = contents.get(turn as usize) else {
                return Ok(());
            };
            let Some(found) = reader.root.nodes.get(index) else {
                return Ok(());
            };
            let InnerNode::File(inside) = &found.inner else {
                return differs(&found.fullpath, Some("type"));
            };
            let same = same_content(reader, inside, &found.fullpath, source, counter)?;
            differs(&found.fullpath, (!same).then_some("content"))
        },
    );
    done.map(|_| ())
}

fn same_content(
    reader: &FilesystemReader<'_>,
    inside: &SquashfsFileReader,
    path: &Path,
    source: &Source,
    counter: &Counter<'_>,
) -> Result<bool, SquashfsError> {
    let inside = reader.file(inside);
    let mut inside = inside.reader_checked().map_err(SquashfsError::Read)?;
    let mut source_reader = source
        .open()
        .map_err(|error| source_failed(source, path, error))?;
    let size = 128 * 1024;
    let (mut ours, mut theirs) = (Vec::with_capacity(size), Vec::with_capacity(size));
    loop {
        let read = fill(&mut inside, &mut ours, size);
        read.map_err(|source| SquashfsError::ReadFile {
            path: path.to_owned(),
            source,
        })?;
        fill(&mut source_reader, &mut theirs, size)
            .map_err(|error| source_failed(source, path, error))?;
        counter.add(ours.len() as u64);
        if ours != theirs {
            return Ok(false);
        }
        if ours.is_empty() {
            return Ok(true);
        }
    }
}

/// Reads up to `size` bytes, less only at the end.
fn fill(reader: &mut impl Read, buffer: &mut Vec<u8>, size: usize) -> io::Result<usize> {
    buffer.clear();
    reader.take(size as u64).read_to_end(buffer)
}

fn source_failed(source: &Source, path: &Path, error: io::Error) -> SquashfsError {
    match source {
        Source::File(file) => SquashfsError::source(file, error),
        Source::Bytes(_) => SquashfsError::source(path, error),
    }
}
