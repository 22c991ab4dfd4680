//! Which groups are ours, and what each is for.

use super::CgroupError;
use rustix::fs::{
    CWD, FlockOperation, Mode, OFlags, XattrFlags, flock, fstat, getxattr, openat, setxattr, stat,
};
use rustix::io::Errno;
use std::fs::DirBuilder;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// The extended attribute that marks a group. Only `CAP_SYS_ADMIN` of the host
/// can set or see it (xattr(7)).
const NAME: &str = "trusted.northstar";

/// What a marked group is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// All containers of one daemon are below it.
    Top,
    /// It was missing above a container or above a daemon's own group.
    Parent,
    /// It is the group of one container.
    Container,
}

impl Mark {
    const ALL: [Mark; 3] = [Mark::Top, Mark::Parent, Mark::Container];

    const fn value(self) -> &'static [u8] {
        match self {
            Mark::Top => b"top",
            Mark::Parent => b"parent",
            Mark::Container => b"container",
        }
    }

    /// The mark of a group; `None` for one that somebody else made.
    pub(super) fn of(directory: &Path) -> Option<Mark> {
        let mut value = [0; 16];
        let length = getxattr(directory, NAME, &mut value).ok()?;
        let value = value.get(..length)?;
        Mark::ALL.into_iter().find(|mark| mark.value() == value)
    }

    pub(super) fn set(self, directory: &Path) {
        // Best effort: without it only a crash leaves an empty group.
        let _ = setxattr(directory, NAME, self.value(), XattrFlags::empty());
    }

    /// Whoever may open a group for reading may lock it, so the groups that
    /// are locked are for others to pass, but not to open.
    pub(super) const fn mode(self) -> u32 {
        match self {
            Mark::Top | Mark::Parent => 0o711,
            Mark::Container => 0o755,
        }
    }

    /// Makes a group with this mark. `false`: there is one already.
    pub(super) fn make(self, directory: &Path) -> Result<bool, CgroupError> {
        match DirBuilder::new().mode(self.mode()).create(directory) {
            Ok(()) => {
                self.set(directory);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(source) => Err(CgroupError::Create {
                path: directory.to_owned(),
                source,
            }),
        }
    }
}

/// How a group is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lock {
    /// Nobody else may lock it.
    Exclusive,
    /// Others may lock it like this.
    Shared,
}

/// Locks a group (flock(2)) until the returned descriptor is closed, which
/// the death of the process does, too. `None`: the group was removed
/// meanwhile.
///
/// # Errors
///
/// [`CgroupError::Claimed`] if somebody else has locked it.
pub(super) fn lock(directory: &Path, lock: Lock) -> Result<Option<OwnedFd>, CgroupError> {
    let failed = |source: Errno| CgroupError::Lock {
        path: directory.to_owned(),
        source: source.into(),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let group = match openat(CWD, directory, flags, Mode::empty()) {
        Ok(group) => group,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let operation = match lock {
        Lock::Exclusive => FlockOperation::NonBlockingLockExclusive,
        Lock::Shared => FlockOperation::NonBlockingLockShared,
    };
    match flock(&group, operation) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            return Err(CgroupError::Claimed {
                path: directory.to_owned(),
            });
        }
        Err(error) => return Err(failed(error)),
    }
    // The one who had it may have removed it between the two calls.
    let locked = fstat(&group).map_err(failed)?;
    match stat(directory) {
        Ok(found) if (found.st_dev, found.st_ino) == (locked.st_dev, locked.st_ino) => {
            Ok(Some(group))
        }
        Ok(_) | Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_back_and_nothing_else_is_one() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(Mark::of(root.path()), None);
        for mark in Mark::ALL {
            mark.set(root.path());
            assert_eq!(Mark::of(root.path()), Some(mark));
        }
        for other in [&b"con"[..], b"", b"a value longer than any"] {
            setxattr(root.path(), NAME, other, XattrFlags::empty()).unwrap();
            assert_eq!(Mark::of(root.path()), None);
        }
    }

    #[test]
    fn lock_excludes_others_until_it_is_closed() {
        let root = tempfile::tempdir().unwrap();
        let held = lock(root.path(), Lock::Exclusive).unwrap().unwrap();
        for other in [Lock::Exclusive, Lock::Shared] {
            match lock(root.path(), other) {
                Err(CgroupError::Claimed { path }) => assert_eq!(path, root.path()),
                found => panic!("{found:?}"),
            }
        }
        drop(held);
        let shared = lock(root.path(), Lock::Shared).unwrap();
        assert!(shared.is_some() && lock(root.path(), Lock::Shared).unwrap().is_some());
        assert!(
            lock(&root.path().join("gone"), Lock::Shared)
                .unwrap()
                .is_none()
        );
    }
}
