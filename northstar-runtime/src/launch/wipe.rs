//! Removal of a directory that a container has filled.
//!
//! The usual way goes down by recursion, with a descriptor and a piece of the stack per level, and a container decides how many
//! levels there are: enough of them end the daemon. Here everything happens in the two uppermost levels. What is found
//! below them moves up, so that stack and descriptors are the same for every depth, and names are never looked up in more
//! than one directory.

use rustix::{
    fs::{
        AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, openat, renameat_with, statat, unlinkat,
    },
    io::Errno,
};
use std::{
    ffi::CStr,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// Removes `name` from `parent` with all that is in it. Links are removed, never followed. Nothing there is no error.
pub(super) fn remove(parent: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    let top = match open(parent, name) {
        Ok(top) => top,
        Err(Errno::NOENT) => return Ok(()),
        // No directory, or a link to one.
        Err(Errno::NOTDIR | Errno::LOOP) => {
            return Ok(unlinkat(parent, name, AtFlags::empty())?);
        }
        Err(error) => return Err(error.into()),
    };
    let mut names = 0;
    while empty(top.as_fd(), &mut names)? {}
    Ok(unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}

/// Removes what is in `top` and in its directories. Directories in these move into `top`; whether there were any.
fn empty(top: BorrowedFd<'_>, names: &mut u64) -> Result<bool, Errno> {
    let mut moved = false;
    each(top, |entry| {
        if unlink(top, entry)? {
            return Ok(());
        }
        let directory = open(top, entry)?;
        each(directory.as_fd(), |entry| {
            if !unlink(directory.as_fd(), entry)? {
                move_up(directory.as_fd(), entry, top, names)?;
                moved = true;
            }
            Ok(())
        })?;
        unlinkat(top, entry, AtFlags::REMOVEDIR)
    })?;
    Ok(moved)
}

/// Visits every entry of a directory, which may be removed meanwhile.
fn each(
    directory: BorrowedFd<'_>,
    mut visit: impl FnMut(&CStr) -> Result<(), Errno>,
) -> Result<(), Errno> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            visit(name)?;
        }
    }
    Ok(())
}

/// Removes an entry unless it is a directory; whether it did.
fn unlink(directory: BorrowedFd<'_>, name: &CStr) -> Result<bool, Errno> {
    match unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) => Ok(true),
        // The second is the answer of other file systems, and of files that cannot be removed.
        Err(Errno::ISDIR) => Ok(false),
        Err(Errno::PERM) => {
            let found = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
            match FileType::from_raw_mode(found.st_mode) {
                FileType::Directory => Ok(false),
                _ => Err(Errno::PERM),
            }
        }
        Err(error) => Err(error),
    }
}

/// Gives an entry of `from` a name in `top` that nothing has there.
fn move_up(
    from: BorrowedFd<'_>,
    name: &CStr,
    top: BorrowedFd<'_>,
    names: &mut u64,
) -> Result<(), Errno> {
    loop {
        let free = format!(".wipe-{names}");
        *names = names.wrapping_add(1);
        match renameat_with(from, name, top, free, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => {}
            other => return other,
        }
    }
}

fn open(directory: BorrowedFd<'_>, name: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(directory, name, flags, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::mkdirat;
    use std::{
        fs::{self, File},
        os::unix::fs::symlink,
        path::Path,
    };

    fn parent(path: &Path) -> File {
        File::open(path).unwrap()
    }

    /// A level costs `std::fs::remove_dir_all` more than a hundred bytes of stack, and a descriptor.
    #[test]
    fn depth_costs_neither_stack_nor_descriptors() {
        const DEPTH: usize = 1500;
        const STACK: usize = 64 * 1024;
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("data")).unwrap();
        let mut deepest = OwnedFd::from(parent(&directory.path().join("data")));
        for level in 0..DEPTH {
            mkdirat(&deepest, "deeper", Mode::RWXU).unwrap();
            if level % 1000 == 0 {
                mkdirat(&deepest, ".wipe-7", Mode::RWXU).unwrap();
            }
            deepest = open(deepest.as_fd(), "deeper").unwrap();
        }
        drop(deepest);
        let parent = parent(directory.path());
        let removing = std::thread::Builder::new().stack_size(STACK);
        let removing = removing.spawn(move || remove(parent.as_fd(), "data"));
        removing.unwrap().join().unwrap().unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn wide_trees_go_and_links_are_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("kept"), "kept").unwrap();
        let data = directory.path().join("data");
        for first in 0..20 {
            for second in 0..20 {
                let path = data.join(format!("{first}/{second}/x"));
                fs::create_dir_all(&path).unwrap();
                fs::write(path.join("file"), "x").unwrap();
                symlink(outside.path(), path.join("link")).unwrap();
                fs::write(data.join(format!("{first}/file-{second}")), "x").unwrap();
            }
        }
        symlink(outside.path(), data.join("link")).unwrap();
        symlink("/nonexistent", data.join("dangling")).unwrap();
        remove(parent(directory.path()).as_fd(), "data").unwrap();
        assert!(!data.exists());
        assert_eq!(
            fs::read_to_string(outside.path().join("kept")).unwrap(),
            "kept"
        );
    }

    #[test]
    fn what_is_no_directory_is_removed_and_nothing_is_no_error() {
        let directory = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("file"), "x").unwrap();
        symlink(outside.path(), directory.path().join("link")).unwrap();
        for name in ["file", "link", "nothing"] {
            remove(parent(directory.path()).as_fd(), name).unwrap();
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        assert!(outside.path().exists());
    }
}
