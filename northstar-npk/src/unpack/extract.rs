//! Making the files of an image.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};

use backhand::{FilesystemReader, InnerNode, Node, SquashfsFileReader};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};

use super::error::create;
use super::{UnpackError, UnpackOptions, UnpackWarning};
use crate::squashfs::{Contents, Links, SquashfsError};

/// Extracts all files of an image into the new directory `root`.
pub(super) fn extract(
    (image, links): (&FilesystemReader<'_>, Links),
    contents: Contents<'_>,
    root: &Path,
    options: &UnpackOptions,
) -> Result<Vec<UnpackWarning>, UnpackError> {
    check_limits(image, &links, options)?;
    fs::create_dir(root).map_err(create(root))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let opened = rustix::fs::openat(CWD, root, flags, Mode::empty());
    let mut extraction = Extraction {
        contents,
        links,
        root: opened.map_err(|error| create(root)(error.into()))?,
        options: *options,
        bytes_left: options.max_bytes,
        directories: Vec::new(),
        warnings: Vec::new(),
    };
    for (index, node) in image.files().enumerate() {
        extraction.node(node, index)?;
    }
    extraction.set_directory_modes()?;
    Ok(extraction.warnings)
}

/// Checks what the image says of itself before anything is made of it.
fn check_limits(
    image: &FilesystemReader<'_>,
    links: &Links,
    options: &UnpackOptions,
) -> Result<(), UnpackError> {
    let limit = options.max_files;
    if image.root.nodes.len() as u64 > limit {
        return Err(UnpackError::TooMany { limit });
    }
    // A file takes room once, however many names it has.
    let first = |node: &&Node<SquashfsFileReader>| !links.contains_key(&node.fullpath);
    let sizes = image.files().filter(first).map(size);
    let limit = options.max_bytes;
    match sizes.fold(0, u64::saturating_add) > limit {
        true => Err(UnpackError::TooLarge { limit }),
        false => Ok(()),
    }
}

/// How many bytes of content a file says that it has.
fn size(node: &Node<SquashfsFileReader>) -> u64 {
    match &node.inner {
        InnerNode::File(file) => file.file_len() as u64,
        _ => 0,
    }
}

struct Extraction<'a> {
    contents: Contents<'a>,
    links: Links,
    root: OwnedFd,
    options: UnpackOptions,
    /// How much more may be written.
    bytes_left: u64,
    /// Directories with the mode they get once nothing more is made in them.
    directories: Vec<(PathBuf, Mode)>,
    warnings: Vec<UnpackWarning>,
}

impl Extraction<'_> {
    fn node(&mut self, node: &Node<SquashfsFileReader>, index: usize) -> Result<(), UnpackError> {
        let path = relative(&node.fullpath)?;
        let mode = self.mode(node);
        let failed = |error: rustix::io::Errno| create(&node.fullpath)(error.into());
        if path.as_os_str().is_empty() {
            // The root is there, and a second one is a file of that name.
            return match (index, &node.inner) {
                (0, InnerNode::Dir(_)) => {
                    self.directories.push((PathBuf::from("."), mode));
                    Ok(())
                }
                _ => Err(invalid(&node.fullpath)),
            };
        }
        let name = path.file_name().ok_or_else(|| invalid(&node.fullpath))?;
        let parent = self.parent(path).map_err(failed)?;
        match &node.inner {
            InnerNode::Dir(_) => {
                rustix::fs::mkdirat(&parent, name, Mode::RWXU).map_err(failed)?;
                self.directories.push((path.to_owned(), mode));
            }
            InnerNode::File(_) => match self.links.get(&node.fullpath) {
                // The first name comes before the others.
                Some(first) => self.link(first, parent, name).map_err(failed)?,
                None => self.file(parent, node, name, index, mode)?,
            },
            InnerNode::Symlink(link) => {
                rustix::fs::symlinkat(&link.link, &parent, name).map_err(failed)?;
            }
            InnerNode::NamedPipe => {
                rustix::fs::mknodat(&parent, name, FileType::Fifo, mode, 0).map_err(failed)?;
            }
            InnerNode::CharacterDevice(_) | InnerNode::BlockDevice(_) => {
                self.warnings.push(UnpackWarning::Device {
                    path: node.fullpath.clone(),
                });
            }
            InnerNode::Socket => self.warnings.push(UnpackWarning::Socket {
                path: node.fullpath.clone(),
            }),
        }
        Ok(())
    }

    /// The mode a file gets.
    fn mode(&mut self, node: &Node<SquashfsFileReader>) -> Mode {
        let bits = node.header.permissions;
        if self.options.keep_set_id {
            return Mode::from_raw_mode((bits & 0o7777).into());
        }
        if bits & 0o6000 != 0 {
            self.warnings.push(UnpackWarning::SetId {
                path: node.fullpath.clone(),
            });
        }
        Mode::from_raw_mode((bits & 0o1777).into())
    }

    /// The directory a file is made in. No component may be a symbolic link, and none leads out.
    fn parent(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        self.open(parent, OFlags::PATH | OFlags::DIRECTORY)
    }

    /// Gives the file at `first` one more name.
    fn link(&self, first: &Path, parent: OwnedFd, name: &OsStr) -> rustix::io::Result<()> {
        let first = first.strip_prefix("/").unwrap_or(first);
        let directory = self.parent(first)?;
        let old = first.file_name().unwrap_or_default();
        rustix::fs::linkat(&directory, old, &parent, name, AtFlags::empty())
    }

    fn open(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        rustix::fs::openat2(
            &self.root,
            path,
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
        )
    }

    fn file(
        &mut self,
        parent: impl AsFd,
        node: &Node<SquashfsFileReader>,
        name: &OsStr,
        index: usize,
        mode: Mode,
    ) -> Result<(), UnpackError> {
        let failed = |error: rustix::io::Errno| create(&node.fullpath)(error.into());
        // A new file: one that is there already, as anything, is not touched.
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let out = rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR);
        let out = File::from(out.map_err(failed)?);
        let mut content = self.contents.read(index)?;
        // Whatever size the file claims, no more is written than is allowed.
        let allowed = self.bytes_left.saturating_add(1);
        let copied = copy_with_holes(&mut (&mut content).take(allowed), &out);
        let copied = copied.map_err(create(&node.fullpath))?;
        drop(content);
        // A file that claims more blocks than there are ends without an error.
        if copied < allowed && copied != size(node) {
            return Err(SquashfsError::ReadFile {
                path: node.fullpath.clone(),
                source: io::ErrorKind::UnexpectedEof.into(),
            }
            .into());
        }
        let limit = self.options.max_bytes;
        self.bytes_left = self
            .bytes_left
            .checked_sub(copied)
            .ok_or(UnpackError::TooLarge { limit })?;
        rustix::fs::fchmod(&out, mode).map_err(failed)
    }

    /// Gives directories their modes, the deepest first, because a mode may forbid to enter.
    fn set_directory_modes(&mut self) -> Result<(), UnpackError> {
        for (path, mode) in self.directories.iter().rev() {
            let failed = |error: rustix::io::Errno| create(path)(error.into());
            let parent = self.parent(path).map_err(failed)?;
            let name = path.file_name().unwrap_or(".".as_ref());
            // The name was made as a directory before, and nothing replaces it in between.
            rustix::fs::chmodat(&parent, name, *mode, AtFlags::empty()).map_err(failed)?;
        }
        Ok(())
    }
}

/// The path of a file below the root, if it is one that stays there.
fn relative(path: &Path) -> Result<&Path, UnpackError> {
    let relative = path.strip_prefix("/").map_err(|_| invalid(path))?;
    let plain = |component| matches!(component, Component::Normal(_));
    match relative.components().all(plain) {
        true => Ok(relative),
        false => Err(invalid(path)),
    }
}

fn invalid(path: &Path) -> UnpackError {
    UnpackError::Path {
        path: path.to_owned(),
    }
}

/// Copies everything to the empty file `out`, zeros as holes. Returns how many bytes those were.
fn copy_with_holes(content: &mut impl Read, out: &File) -> io::Result<u64> {
    let mut buffer = vec![0; 128 * 1024];
    let mut at = 0;
    loop {
        let read = match content.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let bytes = buffer.get(..read).unwrap_or_default();
        if bytes.iter().any(|&byte| byte != 0) {
            out.write_all_at(bytes, at)?;
        }
        at += read as u64;
    }
    out.set_len(at)?;
    Ok(at)
}
