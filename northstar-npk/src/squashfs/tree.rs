//! The tree that goes into an image, as plain data.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, FileType, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use super::SquashfsError;
use super::links::Links;
use super::source::Source;
use super::xattrs::{self, Xattrs};
use crate::pack::Warning;
use crate::progress::Counter;

/// Longest path that a symbolic link may point to, in bytes: the library panics if it is to write a
/// longer one, and reads none.
pub(super) const SYMLINK: usize = 255;

/// What goes into an image, by path relative to its root; the root itself is the empty path.
///
/// The order is by path components, parents before children, which is the order in the image.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(super) nodes: BTreeMap<PathBuf, Node>,
    /// Files of the directory that are not packed.
    pub(super) dropped: Vec<PathBuf>,
}

/// One file of a tree. Owner and time are the same for all of them and so not part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Permission bits, with set-id and sticky bits.
    pub mode: u16,
    pub kind: NodeKind,
    /// True if it is not from the packed directory.
    pub added: bool,
    /// Bytes of a regular file when it was found.
    pub size: u64,
    /// The first name of the same file, if this is another one.
    pub link: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NodeKind {
    Directory,
    File(Source),
    Symlink(PathBuf),
    Fifo,
    CharacterDevice { major: u32, minor: u32 },
}

impl Node {
    /// A file that is not from the packed directory.
    pub(super) fn added(mode: u16, kind: NodeKind) -> Node {
        Node {
            mode,
            kind,
            added: true,
            size: 0,
            link: None,
        }
    }
}

/// Reading the directory.
pub(crate) struct Scan<'a> {
    /// What happens with extended attributes; `None` if all of them are packed.
    pub xattrs: Option<Xattrs>,
    pub warnings: &'a mut Vec<Warning>,
    pub counter: &'a Counter<'a>,
}

impl Tree {
    /// A tree with nothing in it but its root.
    pub(crate) fn empty() -> Tree {
        let root = Node::added(0o755, NodeKind::Directory);
        Tree {
            nodes: BTreeMap::from([(PathBuf::new(), root)]),
            dropped: Vec::new(),
        }
    }

    /// Reads the tree below `root`. Device nodes and sockets are left out with a warning.
    pub(crate) fn read(root: &Path, mut scan: Scan<'_>) -> Result<Tree, SquashfsError> {
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
        let mut labels = 0;
        // Files with several names, by device and inode.
        let mut linked: BTreeMap<(u64, u64), BTreeSet<PathBuf>> = BTreeMap::new();
        let top = scan.node(root, Path::new(""), &metadata, &mut labels)?;
        tree.nodes.extend(top.map(|top| (PathBuf::new(), top)));
        let mut directories = vec![PathBuf::new()];
        while let Some(directory) = directories.pop() {
            for name in names(&root.join(&directory))? {
                let path = directory.join(name);
                let source = root.join(&path);
                let metadata = fs::symlink_metadata(&source)
                    .map_err(|error| SquashfsError::source(&source, error))?;
                match scan.node(&source, &path, &metadata, &mut labels)? {
                    Some(node) => {
                        if node.kind == NodeKind::Directory {
                            directories.push(path.clone());
                        } else if metadata.is_file() && metadata.nlink() > 1 {
                            let names = linked.entry((metadata.dev(), metadata.ino()));
                            names.or_default().insert(path.clone());
                        }
                        tree.nodes.insert(path, node);
                    }
                    None => tree.dropped.push(path),
                }
            }
        }
        linked.into_values().for_each(|names| tree.link(names));
        if labels > 0 {
            scan.warnings.push(Warning::LabelsDropped { files: labels });
        }
        Ok(tree)
    }

    /// Makes links of all of these names but the first one in the order of the image.
    fn link(&mut self, mut names: BTreeSet<PathBuf>) {
        let Some(first) = names.pop_first() else {
            return;
        };
        for name in names {
            if let Some(node) = self.nodes.get_mut(&name) {
                node.link = Some(first.clone());
            }
        }
    }

    /// Adds a file that is not in the packed directory, of mode 0644.
    pub(crate) fn add_file(&mut self, path: &Path, content: &[u8]) -> Result<(), SquashfsError> {
        let relative = path.strip_prefix("/").unwrap_or(path);
        let plain = |component| matches!(component, Component::Normal(_));
        if relative.as_os_str().is_empty() || !relative.components().all(plain) {
            return Err(SquashfsError::ExtraPath {
                path: path.to_owned(),
            });
        }
        // The components are put together again: a path may be written in more than one way.
        let relative: PathBuf = relative.components().collect();
        let collides = |existing| SquashfsError::ExtraExists {
            path: path.to_owned(),
            existing,
        };
        self.add_parents(&relative, collides)?;
        if self.nodes.contains_key(&relative) {
            return Err(collides(Path::new("/").join(relative)));
        }
        let mut node = Node::added(0o644, NodeKind::File(Source::Bytes(content.into())));
        node.size = content.len() as u64;
        self.nodes.insert(relative, node);
        Ok(())
    }

    /// All further names of files, as paths in the image.
    pub(super) fn links(&self) -> Links {
        let absolute = |path: &Path| Path::new("/").join(path);
        let link = |(path, node): (&PathBuf, &Node)| {
            Some((absolute(path), absolute(node.link.as_deref()?)))
        };
        self.nodes.iter().filter_map(link).collect()
    }

    /// The contents of all regular files, each under its first name, in the order of the image.
    pub(super) fn files(&self) -> Vec<&Source> {
        let nodes = self.nodes.values().filter(|node| node.link.is_none());
        let files = nodes.filter_map(|node| match &node.kind {
            NodeKind::File(source) => Some(source),
            _ => None,
        });
        files.collect()
    }

    /// Bytes of all regular files under all their names.
    pub(crate) fn size_of_names(&self) -> u64 {
        self.nodes.values().map(|node| node.size).sum()
    }

    /// Bytes of all regular files, of each once.
    pub(crate) fn size(&self) -> u64 {
        let nodes = self.nodes.values().filter(|node| node.link.is_none());
        nodes.map(|node| node.size).sum()
    }
}

fn names(directory: &Path) -> Result<Vec<String>, SquashfsError> {
    let failed = |error| SquashfsError::source(directory, error);
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        names.push(name.into_string().map_err(|name| SquashfsError::Name {
            path: directory.join(name),
        })?);
    }
    // For warnings and errors in a stable order; the tree sorts itself.
    names.sort_unstable();
    Ok(names)
}

impl Scan<'_> {
    /// The file at `source`, or nothing if it is one that is not packed.
    fn node(
        &mut self,
        source: &Path,
        path: &Path,
        metadata: &Metadata,
        labels: &mut u64,
    ) -> Result<Option<Node>, SquashfsError> {
        self.counter.add(1);
        let path = path.to_owned();
        let kind = match metadata.file_type() {
            kind if is_device(&kind) => {
                self.warnings.push(Warning::DeviceDropped { path });
                return Ok(None);
            }
            kind if kind.is_socket() => {
                self.warnings.push(Warning::SocketDropped { path });
                return Ok(None);
            }
            kind if kind.is_dir() => NodeKind::Directory,
            kind if kind.is_symlink() => {
                let target = fs::read_link(source);
                let target = target.map_err(|error| SquashfsError::source(source, error))?;
                let (size, limit) = (target.as_os_str().len(), SYMLINK);
                if size > limit {
                    return Err(SquashfsError::SymlinkTarget { path, size, limit });
                }
                NodeKind::Symlink(target)
            }
            kind if kind.is_fifo() => NodeKind::Fifo,
            _ => NodeKind::File(Source::File(source.to_owned())),
        };
        if let Some(policy) = self.xattrs {
            let lost = xattrs::lost(source, &path, policy)?;
            *labels += u64::from(lost.label);
            self.warnings.extend(lost.warnings);
        }
        Ok(Some(Node {
            // Twelve bits, so the narrowing keeps the value.
            mode: (metadata.mode() & 0o7777) as u16,
            size: if metadata.is_file() {
                metadata.len()
            } else {
                0
            },
            kind,
            added: false,
            link: None,
        }))
    }
}

fn is_device(kind: &FileType) -> bool {
    kind.is_char_device() || kind.is_block_device()
}
