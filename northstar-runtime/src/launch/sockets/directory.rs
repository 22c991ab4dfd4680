//! The directory of sockets: one directory per container, and the flat one.

use northstar_manifest::Container;
use northstar_sys::mount::{Attributes, Scope, set_attributes};
use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, mkdirat, openat, statat, unlinkat},
    io::Errno,
    mount::{OpenTreeFlags, open_tree},
};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

/// The flat directory. No container's name begins with a dot.
const ALL: &str = ".all";
/// Everybody may look up a name: who may connect is said by the socket's own mode.
const SEARCHABLE: Mode = Mode::from_raw_mode(0o755);

/// The flat directory that a mount of type `sockets` shows.
pub(crate) fn all(socket_dir: &Path) -> io::Result<OwnedFd> {
    directories(socket_dir).map(|(_, all)| all)
}

/// Removes the sockets that a dead predecessor left, and only them, and makes the flat directory. What is in the place
/// of a container's directory but is none stays, and concerns that container only.
pub(crate) fn reset(socket_dir: &Path) -> io::Result<()> {
    let (parent, all) = directories(socket_dir)?;
    clear(all.as_fd())?;
    for entry in Dir::read_from(&parent)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else {
            continue;
        };
        if name.parse::<Container>().is_ok() {
            let container = match directory(parent.as_fd(), name) {
                Ok(container) => container,
                Err(error) if is_no_directory(&error) => {
                    let path = socket_dir.join(name);
                    tracing::warn!("{} is no directory and left alone", path.display());
                    continue;
                }
                Err(error) => return Err(error),
            };
            clear(container.as_fd())?;
            match unlinkat(&parent, name, AtFlags::REMOVEDIR) {
                // Something else than our sockets is in it.
                Ok(()) | Err(Errno::NOTEMPTY) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// Something else has the name: a file, or a symbolic link, which is not followed.
pub(super) fn is_no_directory(error: &io::Error) -> bool {
    [Errno::NOTDIR, Errno::LOOP]
        .into_iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Removes the sockets in a directory.
fn clear(directory: BorrowedFd<'_>) -> io::Result<()> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let stat = statat(directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode).is_socket() {
            unlinkat(directory, entry.file_name(), AtFlags::empty())?;
        }
    }
    Ok(())
}

/// The directory of all sockets and the flat one in it, made where they are missing.
pub(super) fn directories(socket_dir: &Path) -> io::Result<(OwnedFd, OwnedFd)> {
    std::fs::create_dir_all(socket_dir)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = openat(CWD, socket_dir, flags, Mode::empty())?;
    let all = directory(parent.as_fd(), ALL)?;
    Ok((parent, all))
}

/// A directory in another one, made if it is missing.
pub(super) fn directory(parent: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    match mkdirat(parent, name, SEARCHABLE) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(parent, name, flags, Mode::empty())?)
}

/// A mount of its own of a directory, to bind sockets by: who has CAP_NET_ADMIN and a socket gets at the mount that it was
/// bound by (SIOCUNIXFILE).
pub(super) fn place(directory: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    Ok(open_tree(directory, c"", flags)?)
}

/// From now on nothing can be changed by that mount, not even by whom a socket belongs to.
pub(super) fn close(place: BorrowedFd<'_>) -> io::Result<()> {
    let attributes = Attributes {
        read_only: true,
        nosuid: true,
        nodev: true,
        noexec: true,
    };
    Ok(set_attributes(place, Scope::Mount, attributes)?)
}

/// Removes a name, if it is there.
pub(super) fn remove(directory: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    match unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
