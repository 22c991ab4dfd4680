//! mount_setattr(2), the one call of the descriptor-based mount interface that rustix lacks.

use std::os::fd::{AsRawFd, BorrowedFd};

use linux_raw_sys::general as uapi;

use crate::Result;
use crate::error::check;

/// Attributes of a mount: each one is either in force or not, none is left as found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes {
    /// `MOUNT_ATTR_RDONLY`
    pub read_only: bool,
    /// `MOUNT_ATTR_NOSUID`
    pub nosuid: bool,
    /// `MOUNT_ATTR_NODEV`
    pub nodev: bool,
    /// `MOUNT_ATTR_NOEXEC`
    pub noexec: bool,
}

/// How far a change reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The one mount.
    Mount,
    /// The mount and everything mounted below it.
    Tree,
}

impl Attributes {
    const ALL: u32 = uapi::MOUNT_ATTR_RDONLY
        | uapi::MOUNT_ATTR_NOSUID
        | uapi::MOUNT_ATTR_NODEV
        | uapi::MOUNT_ATTR_NOEXEC;

    fn bits(self) -> u32 {
        let flag = |wanted: bool, bit: u32| if wanted { bit } else { 0 };
        flag(self.read_only, uapi::MOUNT_ATTR_RDONLY)
            | flag(self.nosuid, uapi::MOUNT_ATTR_NOSUID)
            | flag(self.nodev, uapi::MOUNT_ATTR_NODEV)
            | flag(self.noexec, uapi::MOUNT_ATTR_NOEXEC)
    }
}

/// Sets exactly `attributes` on the mount of descriptor `mount`: flags that are not asked for are
/// cleared. The mount is private afterwards (`MS_PRIVATE`): what is mounted on it shows up nowhere
/// else, and what is mounted elsewhere does not show up on it.
///
/// # Errors
/// The errno of mount_setattr(2): EINVAL when `mount` is not the root of a mount, EPERM when a
/// flag is locked, ENOSYS before Linux 5.12.
pub fn set_attributes(mount: BorrowedFd<'_>, scope: Scope, attributes: Attributes) -> Result<()> {
    let set = attributes.bits();
    setattr(
        mount,
        scope,
        uapi::mount_attr {
            attr_set: set.into(),
            attr_clr: (Attributes::ALL & !set).into(),
            propagation: libc::MS_PRIVATE,
            userns_fd: 0,
        },
    )
}

/// Cuts the mount of descriptor `mount` off from mount events of its peers (`MS_PRIVATE`).
///
/// # Errors
/// The errno of mount_setattr(2).
pub fn set_private(mount: BorrowedFd<'_>, scope: Scope) -> Result<()> {
    setattr(
        mount,
        scope,
        uapi::mount_attr {
            attr_set: 0,
            attr_clr: 0,
            propagation: libc::MS_PRIVATE,
            userns_fd: 0,
        },
    )
}

/// Makes ids of files on the mount of descriptor `mount` appear as those of the user namespace `user`, and those of
/// processes in it be stored as what they are inside (`MOUNT_ATTR_IDMAP`). The mount must be attached nowhere.
///
/// # Errors
/// The errno of mount_setattr(2): EINVAL when the file system cannot do that (squashfs before Linux 6.2, tmpfs before
/// 6.3, procfs and sysfs ever), EPERM when the mount has a map already.
pub fn set_id_map(mount: BorrowedFd<'_>, scope: Scope, user: BorrowedFd<'_>) -> Result<()> {
    setattr(
        mount,
        scope,
        uapi::mount_attr {
            attr_set: uapi::MOUNT_ATTR_IDMAP.into(),
            attr_clr: 0,
            propagation: 0,
            // Descriptors are never negative.
            userns_fd: u64::from(user.as_raw_fd().unsigned_abs()),
        },
    )
}

fn setattr(mount: BorrowedFd<'_>, scope: Scope, attributes: uapi::mount_attr) -> Result<()> {
    let recursive = match scope {
        Scope::Mount => 0,
        Scope::Tree => libc::AT_RECURSIVE,
    };
    // SAFETY: the path is an empty NUL-terminated string, `attributes` is live and has the size
    // given, `mount` is open for the duration of the call.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            &raw const attributes,
            size_of::<uapi::mount_attr>(),
        )
    };
    check("mount_setattr", returned, || {
        format!(
            "set {:#x}, clear {:#x}, propagation {:#x}, {scope:?}",
            attributes.attr_set, attributes.attr_clr, attributes.propagation
        )
    })
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn directory_inside_a_mount_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let directory = File::open(directory.path()).unwrap();
        let error = set_attributes(directory.as_fd(), Scope::Mount, Attributes::default());
        let errno = error.unwrap_err().errno();
        assert!([libc::EINVAL, libc::EPERM].contains(&errno), "{errno}");
    }
}
