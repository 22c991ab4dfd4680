//! The content of the image, put together in a directory.
//!
//! Its symbolic links are those of a machine to be, so none is left to the kernel to follow: `/etc` is
//! not that of this machine.

mod resolve;

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use rustix::fs::XattrFlags;
use rustix::io::Errno;
use sextant::output;
use tempfile::TempDir;

use self::resolve::{Last, resolve};
use crate::settings::Asset;

const PROGRAM_MODE: u32 = 0o755;

/// A directory that becomes an image, and goes away with this value.
pub(crate) struct Root(TempDir);

/// Why the content of an image cannot be put together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RootError {
    #[error("failed to create a directory in {}", path.display())]
    Scratch { path: PathBuf, source: io::Error },
    #[error("failed to copy {} to {} in the image", from.display(), to.display())]
    Copy {
        from: PathBuf,
        to: PathBuf,
        source: io::Error,
    },
    #[error("{} is in the image already", to.display())]
    Exists { to: PathBuf },
    #[error("failed to look for {} in the image", path.display())]
    Resolve { path: PathBuf, source: io::Error },
    #[error("{} is no path in the image: it has to be absolute and without `..`", path.display())]
    Path { path: PathBuf },
    #[error("`{mode}` is not a mode: write permission bits in octal, such as \"0644\"")]
    Mode { mode: String },
    #[error("{} is a directory, for which there is no mode", path.display())]
    DirectoryMode { path: PathBuf },
}

impl Root {
    /// An empty one, in a directory with room for it.
    pub(crate) fn new(scratch: &Path) -> Result<Root, RootError> {
        let failed = |source| RootError::Scratch {
            path: scratch.to_owned(),
            source,
        };
        let directory = tempfile::Builder::new()
            .prefix(".npk-root-")
            .permissions(Permissions::from_mode(0o755))
            .tempdir_in(scratch)
            .map_err(failed)?;
        // Whatever the umask is.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).map_err(failed)?;
        Ok(Root(directory))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Whether there is something at a path of the image.
    pub(crate) fn contains(&self, path: &Path) -> bool {
        self.inside(path, Last::Followed)
            .is_ok_and(|path| path.exists())
    }

    /// Where a regular file of the image is on this machine.
    pub(crate) fn file(&self, path: &Path) -> Option<PathBuf> {
        let inside = self.inside(path, Last::Followed).ok()?;
        inside.is_file().then_some(inside)
    }

    /// Where a path of the image is on this machine.
    fn inside(&self, path: &Path, last: Last) -> Result<PathBuf, RootError> {
        let is_plain = |component| matches!(component, Component::RootDir | Component::Normal(_));
        if !path.is_absolute() || !path.components().all(is_plain) {
            return Err(RootError::Path {
                path: path.to_owned(),
            });
        }
        resolve(self.path(), path, last).map_err(|source| RootError::Resolve {
            path: path.to_owned(),
            source,
        })
    }

    /// Copies what is in the directory `from` to `to`, which may be there already.
    pub(crate) fn copy_tree(&mut self, from: &Path, to: &Path) -> Result<(), RootError> {
        let inside = self.inside(to, Last::Followed)?;
        let failed = |source| RootError::Copy {
            from: from.to_owned(),
            to: to.to_owned(),
            source,
        };
        make_directories(self.path(), &inside).map_err(failed)?;
        for entry in fs::read_dir(from).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let (from, to) = (entry.path(), to.join(entry.file_name()));
            match entry.file_type().map_err(failed)? {
                kind if kind.is_dir() => self.copy_tree(&from, &to)?,
                kind if kind.is_file() => self.copy_file(&from, &to, None)?,
                kind => self.copy_special(&from, &to, kind)?,
            }
        }
        let permissions = fs::metadata(from).map_err(failed)?.permissions();
        fs::set_permissions(&inside, permissions).map_err(failed)?;
        copy_attributes(from, &inside).map_err(failed)
    }

    /// Copies a file or a directory.
    pub(crate) fn copy_asset(&mut self, asset: &Asset) -> Result<(), RootError> {
        let mode = asset.mode.as_deref().map(parse_mode).transpose()?;
        if asset.source.is_dir() {
            return match mode {
                None => self.copy_tree(&asset.source, &asset.target),
                Some(_) => Err(RootError::DirectoryMode {
                    path: asset.source.clone(),
                }),
            };
        }
        self.copy_file(&asset.source, &asset.target, mode)
    }

    /// Puts the program where the manifest's init says.
    pub(crate) fn place_program(&mut self, from: &Path, init: &Path) -> Result<(), RootError> {
        self.copy_file(from, &Path::new("/").join(init), Some(PROGRAM_MODE))
    }

    /// Puts a library or the loader in its place, following the symbolic link it may be.
    pub(crate) fn place_library(&mut self, from: &Path, to: &Path) -> Result<(), RootError> {
        self.copy_file(from, to, Some(PROGRAM_MODE))
    }

    /// Makes a symbolic link.
    pub(crate) fn link(&self, link: &Path, target: &Path) -> Result<(), RootError> {
        let inside = self.inside(link, Last::Kept)?;
        symlink(target, inside).map_err(|source| RootError::Copy {
            from: target.to_owned(),
            to: link.to_owned(),
            source,
        })
    }

    fn copy_file(&mut self, from: &Path, to: &Path, mode: Option<u32>) -> Result<(), RootError> {
        let inside = self.inside(to, Last::Kept)?;
        let failed = |source| RootError::Copy {
            from: from.to_owned(),
            to: to.to_owned(),
            source,
        };
        if inside.symlink_metadata().is_ok() {
            return Err(RootError::Exists { to: to.to_owned() });
        }
        if let Some(parent) = inside.parent() {
            make_directories(self.path(), parent).map_err(failed)?;
        }
        fs::copy(from, &inside).map_err(failed)?;
        copy_attributes(from, &inside).map_err(failed)?;
        match mode {
            Some(mode) => {
                fs::set_permissions(&inside, Permissions::from_mode(mode)).map_err(failed)
            }
            None => Ok(()),
        }
    }

    /// Copies a symbolic link; what is neither that nor a file stays behind.
    fn copy_special(&self, from: &Path, to: &Path, kind: fs::FileType) -> Result<(), RootError> {
        if kind.is_symlink() {
            let target = fs::read_link(from).map_err(|source| RootError::Copy {
                from: from.to_owned(),
                to: to.to_owned(),
                source,
            })?;
            return self.link(to, &target);
        }
        let what = match kind.is_socket() {
            true => "socket",
            false => "special file",
        };
        output::warn(&format!("{what} {} is left out", from.display()));
        Ok(())
    }
}

fn parse_mode(mode: &str) -> Result<u32, RootError> {
    match u32::from_str_radix(mode.trim_start_matches("0o"), 8) {
        Ok(bits) if bits <= 0o7777 => Ok(bits),
        _ => Err(RootError::Mode {
            mode: mode.to_owned(),
        }),
    }
}

/// Makes `path` and the directories between it and `root`, with mode 0755 whatever the umask is.
fn make_directories(root: &Path, path: &Path) -> io::Result<()> {
    if path == root || path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_directories(root, parent)?;
    }
    fs::create_dir(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

/// Extended attributes are not lost here: what becomes of them is up to the packer.
fn copy_attributes(from: &Path, to: &Path) -> io::Result<()> {
    let mut names = vec![0_u8; 64 * 1024];
    let size = match rustix::fs::listxattr(from, names.as_mut_slice()) {
        Err(Errno::NOTSUP) => return Ok(()),
        size => size?,
    };
    names.truncate(size);
    for name in names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        // The label of a copy is that of its directory; images have none anyway.
        if name == b"security.selinux" {
            continue;
        }
        let mut value = vec![0_u8; 64 * 1024];
        let size = rustix::fs::getxattr(from, name, value.as_mut_slice())?;
        value.truncate(size);
        rustix::fs::setxattr(to, name, &value, XattrFlags::empty())?;
    }
    Ok(())
}
