//! Comparing an image with what was put into it.
//!
//! Writers of squashfs images had bugs that only showed when the image was used, so nothing is
//! handed out that was not read back.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use backhand::{FilesystemReader, InnerNode, Node as ImageNode, SquashfsFileReader};
use sha2::{Digest, Sha256};

use super::read::{entry, open};
use super::write::{Attributes, Written};
use super::{EntryKind, Node, NodeKind, SquashfsError, Tree};
use crate::package::Image;
use crate::signature::Hash;

/// Size and hash of the content of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Content {
    pub size: u64,
    pub hash: Hash,
}

/// What an image has to hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected<'a> {
    pub tree: &'a Tree,
    pub attributes: Attributes,
    pub written: &'a Written,
}

/// Reads all of an image back and compares it with what went into it.
pub(crate) fn check(
    file: &File,
    image: &Image,
    expected: Expected<'_>,
) -> Result<(), SquashfsError> {
    let reader = open(file, image)?;
    let nodes = expected.tree.0.iter();
    let mut left: BTreeMap<&Path, &Node> =
        nodes.map(|(path, node)| (path.as_path(), node)).collect();
    for found in reader.files() {
        let path = found.fullpath.strip_prefix("/").unwrap_or(&found.fullpath);
        let difference = match left.remove(path) {
            None => Some("there is no such file"),
            Some(node) => difference(&reader, found, (path, node), expected)?,
        };
        if let Some(what) = difference {
            return Err(SquashfsError::Differs {
                path: found.fullpath.clone(),
                what,
            });
        }
    }
    match left.first_key_value() {
        None => Ok(()),
        Some((path, _)) => Err(SquashfsError::Differs {
            path: Path::new("/").join(path),
            what: "the file is missing",
        }),
    }
}

/// What of `found` is not as it was put in, if anything.
fn difference(
    reader: &FilesystemReader<'_>,
    found: &ImageNode<SquashfsFileReader>,
    (path, node): (&Path, &Node),
    expected: Expected<'_>,
) -> Result<Option<&'static str>, SquashfsError> {
    let entry = entry(found);
    let attributes = Attributes {
        uid: entry.uid,
        gid: entry.gid,
        mtime: entry.mtime,
    };
    if attributes != expected.attributes {
        return Ok(Some("owner or time"));
    }
    if entry.mode != node.mode {
        return Ok(Some("mode"));
    }
    let same = match (&node.kind, entry.kind, &found.inner) {
        (NodeKind::Directory, EntryKind::Directory, _) => true,
        (NodeKind::Symlink(to), EntryKind::Symlink { target }, _) => *to == target,
        (NodeKind::Fifo, EntryKind::Fifo, _) => true,
        (NodeKind::Socket, EntryKind::Socket, _) => true,
        (
            &NodeKind::CharacterDevice { major, minor },
            EntryKind::CharacterDevice { major: a, minor: b },
            _,
        ) => (major, minor) == (a, b),
        (NodeKind::File(_), EntryKind::File { .. }, InnerNode::File(file)) => {
            let content = content(reader, file, &found.fullpath)?;
            expected.written.contents.get(path) == Some(&content)
        }
        _ => false,
    };
    Ok((!same).then_some("type or content"))
}

fn content(
    reader: &FilesystemReader<'_>,
    file: &SquashfsFileReader,
    path: &Path,
) -> Result<Content, SquashfsError> {
    let failed = |source| SquashfsError::ReadFile {
        path: path.to_owned(),
        source,
    };
    let mut source = reader
        .file(file)
        .reader_checked()
        .map_err(SquashfsError::Read)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    let mut size = 0;
    loop {
        let read = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        hasher.update(buffer.get(..read).unwrap_or_default());
        size += read as u64;
    }
    Ok(Content {
        size,
        hash: hasher.finalize().into(),
    })
}
