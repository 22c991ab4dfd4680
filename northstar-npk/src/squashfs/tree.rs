//! The tree that goes into an image, as plain data.

use std::collections::BTreeMap;
use std::fs::{self, FileType, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::SquashfsError;
use crate::pack::Warning;

/// What goes into an image, by path relative to its root; the root itself is the empty path.
///
/// The order is by path components, parents before children, which is the order in the image.
#[derive(Debug)]
pub(crate) struct Tree(pub(super) BTreeMap<PathBuf, Node>);

/// One file of a tree. Owner and time are the same for all of them and so not part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Permission bits, with set-id and sticky bits.
    pub mode: u16,
    pub kind: NodeKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NodeKind {
    Directory,
    /// A regular file with the content of this file.
    File(PathBuf),
    Symlink(PathBuf),
    Fifo,
    Socket,
    CharacterDevice {
        major: u32,
        minor: u32,
    },
}

impl Node {
    pub(crate) fn directory(mode: u16) -> Node {
        let kind = NodeKind::Directory;
        Node { mode, kind }
    }
}

impl Tree {
    /// A tree with nothing in it but its root.
    pub(crate) fn empty() -> Tree {
        Tree(BTreeMap::from([(PathBuf::new(), Node::directory(0o755))]))
    }

    /// Reads the tree below `root`. Device nodes are left out with a warning.
    pub(crate) fn read(root: &Path, warnings: &mut Vec<Warning>) -> Result<Tree, SquashfsError> {
        let failed = |source| SquashfsError::Source {
            path: root.to_owned(),
            source,
        };
        // The root may be given as a symbolic link; below it none is followed.
        let metadata = fs::metadata(root).map_err(failed)?;
        if !metadata.is_dir() {
            return Err(SquashfsError::NotADirectory {
                path: root.to_owned(),
            });
        }
        let mut tree = Tree::empty();
        let top = Node::directory(mode(&metadata));
        tree.0.insert(PathBuf::new(), top);
        let mut directories = vec![PathBuf::new()];
        while let Some(directory) = directories.pop() {
            for name in names(&root.join(&directory))? {
                let path = directory.join(name);
                if let Some(node) = read_node(root, &path, warnings)? {
                    if node.kind == NodeKind::Directory {
                        directories.push(path.clone());
                    }
                    tree.0.insert(path, node);
                }
            }
        }
        Ok(tree)
    }
}

fn names(directory: &Path) -> Result<Vec<String>, SquashfsError> {
    let failed = |source| SquashfsError::Source {
        path: directory.to_owned(),
        source,
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        names.push(name.into_string().map_err(|name| SquashfsError::Name {
            path: directory.join(name),
        })?);
    }
    // Only for warnings in a stable order; the tree sorts itself.
    names.sort_unstable();
    Ok(names)
}

/// The file at `path` below `root`, or nothing if it is one that is not packed.
fn read_node(
    root: &Path,
    path: &Path,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Node>, SquashfsError> {
    let source = root.join(path);
    let failed = |error| SquashfsError::Source {
        path: source.clone(),
        source: error,
    };
    let metadata = fs::symlink_metadata(&source).map_err(failed)?;
    let kind = match metadata.file_type() {
        kind if is_device(&kind) => {
            warnings.push(Warning::DeviceDropped {
                path: path.to_owned(),
            });
            return Ok(None);
        }
        kind if kind.is_dir() => NodeKind::Directory,
        kind if kind.is_symlink() => NodeKind::Symlink(fs::read_link(&source).map_err(failed)?),
        kind if kind.is_fifo() => NodeKind::Fifo,
        kind if kind.is_socket() => NodeKind::Socket,
        _ => NodeKind::File(source.clone()),
    };
    for attribute in lost_attributes(&source) {
        warnings.push(Warning::AttributeDropped {
            path: path.to_owned(),
            attribute,
        });
    }
    Ok(Some(Node {
        mode: mode(&metadata),
        kind,
    }))
}

fn is_device(kind: &FileType) -> bool {
    kind.is_char_device() || kind.is_block_device()
}

fn mode(metadata: &Metadata) -> u16 {
    // Twelve bits, so the narrowing keeps the value.
    (metadata.mode() & 0o7777) as u16
}

/// Extended attributes which have a meaning that the packed file will not have.
///
/// SELinux labels are not among them: the daemon mounts images with a label of their own. A file
/// system without extended attributes has none to lose, so an error here is none.
fn lost_attributes(path: &Path) -> Vec<String> {
    let mut list = vec![0; 64 * 1024];
    let size = rustix::fs::llistxattr(path, &mut list).unwrap_or(0);
    list.truncate(size);
    list.split(|&byte| byte == 0)
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .filter(|name| !name.is_empty() && name != "security.selinux")
        .collect()
}
