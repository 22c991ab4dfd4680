//! Comparing an image with what was put into it.
//!
//! Writers of squashfs images had bugs that only showed when the image was used, so nothing is
//! handed out that was not read back.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use backhand::{Node as ImageNode, SquashfsFileReader};

use super::contents::Contents;
use super::read::{entry, open_with_links};
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
    let (reader, links) = open_with_links(file, image)?;
    let expected_links = expected.tree.links();
    let mut names = links.iter().chain(&expected_links);
    if let Some((name, _)) = names.find(|(name, _)| links.get(*name) != expected_links.get(*name)) {
        differs(name, Some("hard link"))?;
    }
    let nodes = expected.tree.nodes.iter();
    let mut left: BTreeMap<&Path, &Node> =
        nodes.map(|(path, node)| (path.as_path(), node)).collect();
    let mut contents = Vec::new();
    for (index, found) in reader.files().enumerate() {
        let path = found.fullpath.strip_prefix("/").unwrap_or(&found.fullpath);
        let difference = match left.remove(path) {
            None => Some("there is no such file"),
            Some(node) => {
                // Further names as well: a file system may give two files the same number.
                if let NodeKind::File(source) = &node.kind {
                    contents.push(Pair {
                        index,
                        path: &found.fullpath,
                        source,
                        size: node.size,
                    });
                }
                difference(found, node, expected.attributes)
            }
        };
        differs(&found.fullpath, difference)?;
    }
    if let Some((path, _)) = left.first_key_value() {
        differs(&Path::new("/").join(path), Some("the file is missing"))?;
    }
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

/// A file of the image, and where its content came from.
struct Pair<'a> {
    /// Position in the image.
    index: usize,
    path: &'a Path,
    source: &'a Source,
    size: u64,
}

/// Compares contents on all cores.
fn compare_contents(
    file: &File,
    image: &Image,
    pairs: &[Pair<'_>],
    counter: &Counter<'_>,
) -> Result<(), SquashfsError> {
    let groups = groups(pairs);
    let done = on_all_cores(
        groups.len() as u64,
        || Contents::open(file, image),
        |contents, group| {
            let group = groups.get(group as usize).copied().unwrap_or_default();
            group
                .iter()
                .try_for_each(|pair| compare(contents, pair, counter))
        },
    );
    done.map(drop)
}

/// Neighbours, which share fragment blocks, in groups of a few MiB.
fn groups<'a, 'b>(mut pairs: &'a [Pair<'b>]) -> Vec<&'a [Pair<'b>]> {
    const SIZE: u64 = 4 * 1024 * 1024;
    let mut groups = Vec::new();
    while !pairs.is_empty() {
        let mut size = 0;
        let count = pairs.iter().take_while(|pair| {
            let fits = size < SIZE;
            size += pair.size;
            fits
        });
        let (group, rest) = pairs
            .split_at_checked(count.count())
            .unwrap_or((pairs, &[]));
        groups.push(group);
        pairs = rest;
    }
    groups
}

fn compare(
    contents: &mut Contents<'_>,
    pair: &Pair<'_>,
    counter: &Counter<'_>,
) -> Result<(), SquashfsError> {
    let source_failed = |error| match pair.source {
        Source::File(file) => SquashfsError::source(file, error),
        Source::Bytes(_) => SquashfsError::source(pair.path, error),
    };
    let mut inside = contents.read(pair.index)?;
    let mut outside = pair.source.open().map_err(source_failed)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    loop {
        fill(&mut inside, &mut ours).map_err(|source| SquashfsError::ReadFile {
            path: pair.path.to_owned(),
            source,
        })?;
        fill(&mut outside, &mut theirs).map_err(source_failed)?;
        counter.add(ours.len() as u64);
        if ours != theirs {
            return differs(pair.path, Some("content"));
        }
        if ours.is_empty() {
            return Ok(());
        }
    }
}

/// Reads the next bytes into `buffer`; fewer than before only at the end.
fn fill(reader: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<usize> {
    buffer.clear();
    reader.take(128 * 1024).read_to_end(buffer)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::{BlockSize, Compression, write};
    use super::*;
    use crate::progress::Stage;

    /// Writes a tree with a file and another name of it, which is said to have this content.
    fn with_link(content: &[u8]) -> Result<(), SquashfsError> {
        let mut tree = Tree::empty();
        tree.add_file(Path::new("/first"), b"content").unwrap();
        tree.add_file(Path::new("/second"), content).unwrap();
        let second = tree.nodes.get_mut(Path::new("second")).unwrap();
        second.link = Some(PathBuf::from("first"));
        let attributes = Attributes {
            uid: 1,
            gid: 1,
            mtime: 0,
        };
        let counter = Counter::new(None, Stage::Image, 0);
        let file = tempfile::tempfile().unwrap();
        let blocks = (Compression::Gzip, BlockSize::new(None).unwrap());
        let size = write(&tree, attributes, blocks, &file, &counter).unwrap();
        let image = Image {
            offset: 0,
            size,
            squashfs_size: size,
            verity: None,
        };
        let expected = Expected {
            tree: &tree,
            attributes,
        };
        check(&file, &image, expected, &counter)?;
        // What is there has to be there, and no less.
        let second = tree.nodes.get_mut(Path::new("second")).unwrap();
        second.link = None;
        let expected = Expected {
            tree: &tree,
            attributes,
        };
        check(&file, &image, expected, &counter)
    }

    #[test]
    fn names_of_one_file_are_told_from_files_of_one_content() {
        let is_found = |content, expected| {
            let error = with_link(content).unwrap_err();
            assert!(
                matches!(&error, SquashfsError::Differs { path, what }
                    if path == Path::new("/second") && *what == expected),
                "{error:?}"
            );
        };
        is_found(b"content", "hard link");
        is_found(b"other", "content");
    }
}
