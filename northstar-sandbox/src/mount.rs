//! Detached mounts: what the daemon prepares and init attaches.
//!
//! A source is resolved once, by the daemon, to a descriptor; the mount that is cloned from it has
//! its final flags before anybody can see it. No path is looked up twice, so none can be swapped
//! in between.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use northstar_sys::mount::{Attributes, Scope, set_attributes};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags};

use crate::plan::MountFlags;

/// A detached mount could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The source cannot be cloned.
    #[error("cannot clone the mount of the source")]
    Clone(#[source] std::io::Error),
    /// The flags cannot be applied.
    #[error("cannot apply {flags:?}")]
    Flags {
        /// The flags asked for.
        flags: MountFlags,
        /// The kernel's answer.
        source: northstar_sys::Error,
    },
    /// A path cannot be opened inside its root.
    #[error("cannot open {} inside its root", path.display())]
    Open {
        /// The path as given.
        path: PathBuf,
        /// The kernel's answer; ELOOP when the last component is a symbolic link.
        source: std::io::Error,
    },
}

impl MountFlags {
    pub(crate) fn attributes(self) -> Attributes {
        Attributes {
            read_only: self.read_only,
            nosuid: self.nosuid,
            nodev: self.nodev,
            noexec: self.noexec,
        }
    }

    pub(crate) fn scope(self) -> Scope {
        if self.recursive {
            Scope::Tree
        } else {
            Scope::Mount
        }
    }
}

/// Clones the mount that `source` (file or directory) is on, rooted at `source`, as a detached
/// mount with exactly `flags`. With `flags.recursive` it brings the mounts below, under the same
/// flags.
///
/// The mount is private: nothing mounted later below the source shows up in it.
///
/// # Errors
/// [`MountError::Clone`] with the errno of open_tree(2), [`MountError::Flags`] with that of
/// mount_setattr(2).
pub fn clone_tree(source: BorrowedFd<'_>, flags: MountFlags) -> Result<OwnedFd, MountError> {
    let mount = clone_detached(source, flags.recursive).map_err(|e| MountError::Clone(e.into()))?;
    set_attributes(mount.as_fd(), flags.scope(), flags.attributes())
        .map_err(|source| MountError::Flags { flags, source })?;
    Ok(mount)
}

pub(crate) fn clone_detached(source: BorrowedFd<'_>, recursive: bool) -> Result<OwnedFd, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    rustix::mount::open_tree(source, c"", flags)
}

/// A new file system instance, mounted nowhere yet.
pub(crate) fn detached(name: &str, options: &[(&str, &str)]) -> Result<OwnedFd, Errno> {
    let context = rustix::mount::fsopen(name, FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(&context, "source", name)?;
    for (key, value) in options {
        rustix::mount::fsconfig_set_string(&context, *key, *value)?;
    }
    rustix::mount::fsconfig_create(&context)?;
    let none = MountAttrFlags::empty();
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, none)
}

/// Opens `path` (O_PATH) as a process whose root is `root` would see it: symbolic links and `..`
/// cannot leave it. The last component must not be a symbolic link.
///
/// # Errors
/// [`MountError::Open`] with the errno of openat2(2), or ELOOP for a final symbolic link.
pub fn open_beneath(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, MountError> {
    resolve(root, path).map_err(|error| MountError::Open {
        path: path.to_owned(),
        source: error.into(),
    })
}

pub(crate) fn resolve(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
    let found = retry(|| {
        rustix::fs::openat2(
            root,
            path,
            OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
        )
    })?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode);
    if kind == FileType::Symlink {
        Err(Errno::LOOP)
    } else {
        Ok(found)
    }
}

/// openat2 answers EAGAIN when something was renamed or mounted anywhere while it resolved `..`:
/// it cannot tell whether the lookup left the root. That is no failure of the lookup, so it is
/// repeated, a bounded number of times.
fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    const ATTEMPTS: u32 = 128;
    for _ in 1..ATTEMPTS {
        match call() {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
    call()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::fs::{MetadataExt, symlink};

    #[test]
    fn links_and_dots_stay_inside_the_root() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir_all(root.join("etc/real")).unwrap();
        symlink("/etc", root.join("absolute")).unwrap();
        symlink("../../../../etc", root.join("relative")).unwrap();
        let handle = File::open(root).unwrap();
        let inode = |path: &str| {
            let found = open_beneath(handle.as_fd(), Path::new(path)).unwrap();
            File::from(found).metadata().unwrap().ino()
        };
        let expected = fs::metadata(root.join("etc/real")).unwrap().ino();
        for path in [
            "/etc/real",
            "/absolute/real",
            "/relative/real",
            "/../../etc/../etc/real",
        ] {
            assert_eq!(inode(path), expected, "{path}");
        }
    }

    #[test]
    fn final_link_missing_path_and_magic_link_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        symlink("/", directory.path().join("link")).unwrap();
        symlink("/proc/self/root", directory.path().join("magic")).unwrap();
        let handle = File::open(directory.path()).unwrap();
        let errno = |path: &str| match open_beneath(handle.as_fd(), Path::new(path)) {
            Err(MountError::Open { source, .. }) => source.raw_os_error(),
            other => panic!("{other:?}"),
        };
        assert_eq!(errno("/link"), Some(Errno::LOOP.raw_os_error()));
        assert_eq!(errno("/missing"), Some(Errno::NOENT.raw_os_error()));
        assert_eq!(errno("/magic/etc"), Some(Errno::NOENT.raw_os_error()));
        let host = File::open("/").unwrap();
        let magic = open_beneath(host.as_fd(), Path::new("/proc/self/root/etc"));
        assert!(
            matches!(&magic, Err(MountError::Open { source, .. })
                if source.raw_os_error() == Some(Errno::LOOP.raw_os_error())),
            "{magic:?}"
        );
    }
}
