//! The content of the image, put together in a directory.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use rustix::fs::XattrFlags;
use rustix::io::Errno;
use sextant::output;
use tempfile::TempDir;

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
        self.inside(path).is_ok_and(|path| path.exists())
    }

    /// Where a path of the image is on this machine.
    pub(crate) fn inside(&self, path: &Path) -> Result<PathBuf, RootError> {
        let mut inside = self.path().to_owned();
        for component in path.components() {
            match component {
                Component::RootDir => {}
                Component::Normal(name) => inside.push(name),
                _ => {
                    return Err(RootError::Path {
                        path: path.to_owned(),
                    });
                }
            }
        }
        match path.is_absolute() {
            true => Ok(inside),
            false => Err(RootError::Path {
                path: path.to_owned(),
            }),
        }
    }

    /// Copies what is in the directory `from` to `to`.
    pub(crate) fn copy_tree(&mut self, from: &Path, to: &Path) -> Result<(), RootError> {
        let inside = self.inside(to)?;
        copy_directory(from, &inside).map_err(|(from, source)| RootError::Copy {
            from,
            to: to.to_owned(),
            source,
        })
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
    pub(crate) fn link(&mut self, link: &Path, target: &Path) -> Result<(), RootError> {
        let inside = self.inside(link)?;
        symlink(target, inside).map_err(|source| RootError::Copy {
            from: target.to_owned(),
            to: link.to_owned(),
            source,
        })
    }

    fn copy_file(&mut self, from: &Path, to: &Path, mode: Option<u32>) -> Result<(), RootError> {
        let inside = self.inside(to)?;
        let failed = |source| RootError::Copy {
            from: from.to_owned(),
            to: to.to_owned(),
            source,
        };
        if inside.symlink_metadata().is_ok() {
            return Err(RootError::Exists { to: to.to_owned() });
        }
        make_parents(self.path(), &inside).map_err(failed)?;
        fs::copy(from, &inside).map_err(failed)?;
        copy_attributes(from, &inside).map_err(failed)?;
        match mode {
            Some(mode) => {
                fs::set_permissions(&inside, Permissions::from_mode(mode)).map_err(failed)
            }
            None => Ok(()),
        }
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

/// Makes the directories above `path` and below `root`, with mode 0755 whatever the umask is.
fn make_parents(root: &Path, path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    if parent == root || parent.is_dir() {
        return Ok(());
    }
    make_parents(root, parent)?;
    fs::create_dir(parent)?;
    fs::set_permissions(parent, Permissions::from_mode(0o755))
}

/// Copies a directory into one that may be there already; an error comes with the file it is about.
fn copy_directory(from: &Path, to: &Path) -> Result<(), (PathBuf, io::Error)> {
    let failed = |source| (from.to_owned(), source);
    fs::create_dir_all(to).map_err(failed)?;
    for entry in fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            copy_directory(&from, &to)?;
        } else {
            copy_leaf(&from, &to, kind).map_err(|source| (from, source))?;
        }
    }
    let permissions = fs::metadata(from).map_err(failed)?.permissions();
    fs::set_permissions(to, permissions).map_err(failed)?;
    copy_attributes(from, to).map_err(failed)
}

fn copy_leaf(from: &Path, to: &Path, kind: fs::FileType) -> io::Result<()> {
    if kind.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    if kind.is_file() {
        if to.symlink_metadata().is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        fs::copy(from, to)?;
        return copy_attributes(from, to);
    }
    let what = match kind.is_socket() {
        true => "socket",
        false => "special file",
    };
    output::warn(&format!("{what} {} is left out", from.display()));
    Ok(())
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
