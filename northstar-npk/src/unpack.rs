//! Taking a package apart into a directory that can be packed again.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use backhand::{FilesystemReader, InnerNode, Node, SquashfsFileReader};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};

use crate::package::Package;
use crate::squashfs::{self, SquashfsError};

/// Name of the manifest in the target directory.
pub const MANIFEST: &str = "manifest.yaml";
/// Name of the directory with the content of the image in the target directory.
pub const ROOT: &str = "root";

/// Why a package is not unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// The target is there already and is not an empty directory.
    #[error("{} exists already", path.display())]
    Exists {
        /// The target.
        path: PathBuf,
    },
    /// The image cannot be read.
    #[error(transparent)]
    Squashfs(#[from] SquashfsError),
    /// A name in the image is none that a file can have.
    #[error("invalid path {} in the image", path.display())]
    Path {
        /// The path in the image.
        path: PathBuf,
    },
    /// A file cannot be made.
    #[error("failed to create {}", path.display())]
    Create {
        /// The file, or its path in the image.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
}

/// What unpacking left out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackWarning {
    /// Device nodes are not made: they belong to the kernel that runs the container.
    #[error("device node {} is left out", path.display())]
    Device {
        /// Path in the image.
        path: PathBuf,
    },
    /// Sockets are not made: nobody would listen.
    #[error("socket {} is left out", path.display())]
    Socket {
        /// Path in the image.
        path: PathBuf,
    },
    /// The set-id bits are cleared: the file belongs to whoever unpacks.
    #[error("set-id bits of {} are cleared", path.display())]
    SetId {
        /// Path in the image.
        path: PathBuf,
    },
}

/// Unpacks the package in `file` into the new directory `target`: its manifest as it is in the
/// package, and below `root` the content of the image.
///
/// Nothing is written outside of `target`, whatever the image says. Owner and time are not carried
/// over. The target appears when everything is in it; after an error it does not.
pub fn unpack(
    file: &File,
    package: &Package,
    target: &Path,
) -> Result<Vec<UnpackWarning>, UnpackError> {
    if !is_free(target).map_err(create(target))? {
        return Err(UnpackError::Exists {
            path: target.to_owned(),
        });
    }
    let parent = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let staging = tempfile::Builder::new()
        .prefix(".unpack-")
        .tempdir_in(parent)
        .map_err(create(target))?;
    // Whatever mode the image's root has, the target is an ordinary directory.
    let content = staging.path().join("content");
    fs::create_dir(&content).map_err(create(target))?;
    fs::write(content.join(MANIFEST), &package.archive().manifest).map_err(create(target))?;

    let reader = squashfs::open(file, package.image())?;
    let warnings = extract(&reader, &content.join(ROOT))?;
    fs::rename(&content, target).map_err(create(target))?;
    Ok(warnings)
}

/// True if there is nothing at `target`, or an empty directory.
fn is_free(target: &Path) -> io::Result<bool> {
    match fs::read_dir(target) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => Ok(true),
            io::ErrorKind::NotADirectory => Ok(false),
            _ => Err(error),
        },
    }
}

fn create(path: &Path) -> impl Fn(io::Error) -> UnpackError {
    let path = path.to_owned();
    move |source| UnpackError::Create {
        path: path.clone(),
        source,
    }
}

/// Extracts all files of an image into the new directory `root`.
fn extract(image: &FilesystemReader<'_>, root: &Path) -> Result<Vec<UnpackWarning>, UnpackError> {
    fs::create_dir(root).map_err(create(root))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let opened = rustix::fs::openat(CWD, root, flags, Mode::empty());
    let mut extraction = Extraction {
        image,
        root: opened.map_err(|error| create(root)(error.into()))?,
        directories: Vec::new(),
        warnings: Vec::new(),
    };
    for (index, node) in image.files().enumerate() {
        extraction.node(node, index == 0)?;
    }
    extraction.set_directory_modes()?;
    Ok(extraction.warnings)
}

struct Extraction<'a, 'b> {
    image: &'a FilesystemReader<'b>,
    root: OwnedFd,
    /// Directories with the mode they get once nothing more is made in them.
    directories: Vec<(PathBuf, Mode)>,
    warnings: Vec<UnpackWarning>,
}

impl Extraction<'_, '_> {
    fn node(&mut self, node: &Node<SquashfsFileReader>, first: bool) -> Result<(), UnpackError> {
        let path = relative(&node.fullpath)?;
        let mode = self.mode(node);
        let failed = |error: rustix::io::Errno| create(&node.fullpath)(error.into());
        if path.as_os_str().is_empty() {
            // The root is there, and a second one is a file of that name.
            return match (first, &node.inner) {
                (true, InnerNode::Dir(_)) => {
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
            InnerNode::File(file) => self.file(parent, node, name, file, mode)?,
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
        &self,
        parent: impl AsFd,
        node: &Node<SquashfsFileReader>,
        name: &std::ffi::OsStr,
        file: &SquashfsFileReader,
        mode: Mode,
    ) -> Result<(), UnpackError> {
        let failed = |error: rustix::io::Errno| create(&node.fullpath)(error.into());
        // A new file: one that is there already, as anything, is not touched.
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let out = rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR);
        let mut out = File::from(out.map_err(failed)?);
        let mut content = self
            .image
            .file(file)
            .reader_checked()
            .map_err(SquashfsError::Read)?;
        io::copy(&mut content, &mut out).map_err(create(&node.fullpath))?;
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
