//! What a repository does with names in a directory. Every name is a single component, looked up in an open directory.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
};

use rustix::{
    fs::{
        AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, linkat, mkdirat, openat, renameat_with,
        statat, unlinkat,
    },
    io::Errno,
};

use super::RejectReason;

/// The directory of unfinished files.
pub(super) const STAGING: &str = ".staging";
/// What the name of a file on its way in begins with.
pub(super) const INSTALL: &str = "install-";
/// What the name of a file on its way out begins with.
pub(super) const REMOVE: &str = "remove-";

/// Opens `.staging` in a directory; it is made if it is missing.
pub(super) fn open_staging(directory: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    match mkdirat(directory, STAGING, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(directory, STAGING, flags, Mode::empty())
}

/// Deletes what looks like ours in `.staging`, and nothing else.
pub(super) fn delete_unfinished(staging: &OwnedFd) -> rustix::io::Result<()> {
    for name in names(staging)? {
        let ours = [INSTALL, REMOVE].into_iter().any(|prefix| {
            let number = name.as_bytes().strip_prefix(prefix.as_bytes());
            number.is_some_and(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
        });
        if !ours {
            continue;
        }
        match unlinkat(staging, &name, AtFlags::empty()) {
            // A directory is nothing we made.
            Ok(()) | Err(Errno::NOENT | Errno::ISDIR | Errno::PERM) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The names of all entries.
pub(super) fn names(directory: &OwnedFd) -> rustix::io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    Ok(names)
}

/// What is not a regular file is not opened.
pub(super) fn is_regular(kind: FileType) -> Result<(), RejectReason> {
    let kind = match kind {
        FileType::RegularFile => return Ok(()),
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "something unknown",
    };
    Err(RejectReason::NotAFile { kind })
}

/// Whether `name` is the file that `file` was opened from.
pub(super) fn same_file(
    directory: BorrowedFd<'_>,
    name: &OsStr,
    file: &File,
) -> rustix::io::Result<bool> {
    let found = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let held = file
        .metadata()
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    Ok((found.st_dev as u64, found.st_ino as u64) == (held.dev(), held.ino()))
}

/// Renames without replacing: in one step, or in two where the file system has no such step.
pub(super) fn move_no_replace(
    from: BorrowedFd<'_>,
    name: &OsStr,
    to: BorrowedFd<'_>,
    new_name: &OsStr,
) -> rustix::io::Result<()> {
    match renameat_with(from, name, to, new_name, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => {
            linkat(from, name, to, new_name, AtFlags::empty())?;
            unlinkat(from, name, AtFlags::empty())
        }
        result => result,
    }
}
