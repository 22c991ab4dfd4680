//! Runs in init, after fork. Mount points inside file systems that init itself made for this
//! container. Nothing is ever created anywhere else, above all not inside an image.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;

/// Creates the mount point `path` in a fresh file system: directories on the way, and at the end
/// what `source` can be mounted on. They belong to `owner`, user and group.
///
/// ENOENT when something else is mounted on the way: that is not a fresh file system.
pub(super) fn create(
    root: &OwnedFd,
    path: &Path,
    source: &OwnedFd,
    owner: u32,
) -> Result<(), Errno> {
    let kind = FileType::from_raw_mode(rustix::fs::fstat(source)?.st_mode);
    let masked = rustix::process::umask(Mode::empty());
    let created = create_inside(root, path, kind, owner);
    rustix::process::umask(masked);
    created
}

fn create_inside(root: &OwnedFd, path: &Path, kind: FileType, owner: u32) -> Result<(), Errno> {
    let mut directory = rustix::io::fcntl_dupfd_cloexec(root, 3)?;
    let mut names = path.components().peekable();
    while let Some(name) = names.next() {
        let Component::Normal(name) = name else {
            return Err(Errno::INVAL);
        };
        let last = names.peek().is_none();
        let made = if last && kind != FileType::Directory {
            rustix::fs::mknodat(
                &directory,
                name,
                FileType::RegularFile,
                Mode::from_raw_mode(0o644),
                0,
            )
        } else {
            rustix::fs::mkdirat(&directory, name, Mode::from_raw_mode(0o755))
        };
        match made {
            Ok(()) => {
                let (user, group) = (Uid::from_raw(owner), Gid::from_raw(owner));
                let flags = AtFlags::SYMLINK_NOFOLLOW;
                rustix::fs::chownat(&directory, name, Some(user), Some(group), flags)?;
            }
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        if !last {
            directory = enter(&directory, name)?;
        }
    }
    Ok(())
}

/// Opens a directory of the same file system. A mount on it may be one of the host that init, as its
/// user 0, could create anything in.
fn enter(directory: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
    match rustix::fs::openat2(directory, name, flags, Mode::empty(), resolve) {
        Err(Errno::XDEV) => Err(Errno::NOENT),
        other => other,
    }
}
