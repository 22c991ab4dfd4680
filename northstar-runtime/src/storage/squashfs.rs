//! Mounting a block device as squashfs, through the mount interface with descriptors (fsopen(2) and its family).
//!
//! The mount is always read-only, without devices and without set-user-id programs. What the kernel made of it is
//! read back before anybody can see it.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{StatVfsMountFlags, fstat, fstatfs, fstatvfs, getxattr},
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
        fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, unmount,
    },
};

use super::{cleanup::CleanupError, error::SquashfsError, target::Target};

/// `SQUASHFS_MAGIC` in `include/uapi/linux/magic.h`.
const MAGIC: u64 = 0x7371_7368;

/// Most lines that are taken from the log of one mount.
const LOG_LINES: usize = 8;

/// A squashfs mounted on a directory of ours.
#[derive(Debug)]
pub(super) struct Squashfs {
    // Dropped before the mount point, because it counts as use of the mount.
    root: OwnedFd,
    mount: MountPoint,
}

/// The place of a mount. Dropping it takes the mount out of the tree, whoever uses it.
#[derive(Debug)]
struct MountPoint {
    mount_id: u64,
    /// `None` once there is nothing to take down.
    target: Option<Target>,
}

impl Squashfs {
    /// Mounts the block device `source`, whose number is `device` (as in `st_rdev`), on `target`.
    pub(super) fn mount(
        source: &Path,
        device: u64,
        selinux_context: Option<&str>,
        target: Target,
        directory: BorrowedFd<'_>,
    ) -> Result<Self, SquashfsError> {
        let root = detached(source, selinux_context)?;
        read_back(&root, device)?;
        if let Some(label) = selinux_context {
            read_back_label(&root, label)?;
        }
        let mount_id = mount_id(root.as_fd()).map_err(|error| failed("statx", error))?;
        // Only now does the mount become visible.
        let flags =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(&root, c"", directory, c"", flags)
            .map_err(|error| failed("move_mount", error))?;
        Ok(Self {
            root,
            mount: MountPoint {
                mount_id,
                target: Some(target),
            },
        })
    }

    /// The root of the mount.
    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Unmounts if nobody uses the mount. What fails otherwise is added to `failures`.
    ///
    /// # Errors
    ///
    /// In use: nothing was changed.
    pub(super) fn unmount(self, failures: &mut Vec<CleanupError>) -> Result<(), Self> {
        let Self { root, mut mount } = self;
        drop(root);
        let Some(path) = mount.take_down(UnmountFlags::empty(), failures) else {
            return Ok(());
        };
        match reopen(&path) {
            Ok(root) => Err(Self { root, mount }),
            Err(error) => {
                failures.push(CleanupError::Unmount {
                    path,
                    source: error.into(),
                });
                Ok(())
            }
        }
    }
}

impl MountPoint {
    /// Unmounts and removes the directory. `Some(path)`: the mount is in use, nothing was changed.
    fn take_down(
        &mut self,
        flags: UnmountFlags,
        failures: &mut Vec<CleanupError>,
    ) -> Option<PathBuf> {
        let target = self.target.take()?;
        let path = target.path().to_owned();
        let result = match reopen(&path).and_then(|seen| mount_id(seen.as_fd())) {
            Ok(seen) if seen == self.mount_id => unmount(&path, flags | UnmountFlags::NOFOLLOW),
            Ok(_) => {
                target.leave();
                failures.push(CleanupError::Foreign { path });
                return None;
            }
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => failures.extend(target.remove().err()),
            Err(Errno::BUSY) if !flags.contains(UnmountFlags::DETACH) => {
                self.target = Some(target);
                return Some(path);
            }
            Err(error) => {
                target.leave();
                failures.push(CleanupError::Unmount {
                    path,
                    source: error.into(),
                });
            }
        }
        None
    }
}

impl Drop for MountPoint {
    fn drop(&mut self) {
        let mut failures = Vec::new();
        self.take_down(UnmountFlags::DETACH, &mut failures);
        for failure in failures {
            tracing::warn!("{failure}");
        }
    }
}

/// A squashfs on `source` that is attached nowhere yet. The descriptor is its root.
fn detached(source: &Path, selinux_context: Option<&str>) -> Result<OwnedFd, SquashfsError> {
    let context = fsopen(c"squashfs", FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(|error| failed("fsopen squashfs", error))?;
    let logged = |operation, error: Errno| SquashfsError::Io {
        operation,
        log: log(&context),
        source: error.into(),
    };
    fsconfig_set_flag(&context, c"ro").map_err(|error| logged("fsconfig ro", error))?;
    fsconfig_set_string(&context, c"source", source)
        .map_err(|error| logged("fsconfig source", error))?;
    if let Some(label) = selinux_context {
        fsconfig_set_string(&context, c"context", label)
            .map_err(|error| logged("fsconfig context", error))?;
    }
    fsconfig_create(&context).map_err(|error| logged("fsconfig create", error))?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOSUID;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        .map_err(|error| logged("fsmount", error))
}

/// Compares the label of the root with the one that all files were to have.
fn read_back_label(root: &OwnedFd, expected: &str) -> Result<(), SquashfsError> {
    // The descriptor is one without access, which fgetxattr(2) does not take.
    let path = format!("/proc/self/fd/{}", root.as_raw_fd());
    let mut value = vec![0; expected.len().saturating_add(256)];
    let length = getxattr(path, c"security.selinux", &mut value)
        .map_err(|error| failed("getxattr security.selinux", error))?;
    value.truncate(length);
    let actual = String::from_utf8_lossy(&value);
    let actual = actual.trim_end_matches('\0');
    if actual == expected {
        Ok(())
    } else {
        Err(SquashfsError::Label {
            expected: expected.to_owned(),
            actual: actual.to_owned(),
        })
    }
}

/// Compares what was mounted with what was asked for.
fn read_back(root: &OwnedFd, device: u64) -> Result<(), SquashfsError> {
    let filesystem = fstatfs(root).map_err(|error| failed("fstatfs", error))?;
    let actual = filesystem.f_type as u64;
    if actual != MAGIC {
        return Err(SquashfsError::FileSystem { actual });
    }
    let actual = fstat(root).map_err(|error| failed("fstat", error))?.st_dev as u64;
    if actual != device {
        return Err(SquashfsError::Device {
            expected: device,
            actual,
        });
    }
    let flags = fstatvfs(root)
        .map_err(|error| failed("fstatvfs", error))?
        .f_flag;
    let missing: Vec<&str> = [
        (StatVfsMountFlags::RDONLY, "ro"),
        (StatVfsMountFlags::NODEV, "nodev"),
        (StatVfsMountFlags::NOSUID, "nosuid"),
    ]
    .into_iter()
    .filter_map(|(flag, name)| (!flags.contains(flag)).then_some(name))
    .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(SquashfsError::Flags {
            missing: missing.join(","),
        })
    }
}

/// What the kernel wrote about this mount: one message per read, `e TEXT` for an error.
fn log(context: &OwnedFd) -> Vec<String> {
    let mut lines = Vec::new();
    let mut buffer = [0u8; 512];
    while lines.len() < LOG_LINES {
        match rustix::io::read(context, &mut buffer) {
            Ok(length) if length > 0 => {
                let message = buffer.get(..length).unwrap_or_default();
                lines.push(String::from_utf8_lossy(message).trim().to_owned());
            }
            // ENODATA: no more messages. Any other error only costs the detail.
            _ => break,
        }
    }
    lines
}

fn reopen(path: &Path) -> rustix::io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    open(path, flags, Mode::empty())
}

/// The number of the mount that the descriptor is in (`STATX_MNT_ID`, Linux 5.8).
fn mount_id(descriptor: BorrowedFd<'_>) -> rustix::io::Result<u64> {
    use rustix::fs::{AtFlags, StatxFlags, statx};
    Ok(statx(descriptor, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?.stx_mnt_id)
}

fn failed(operation: &'static str, error: Errno) -> SquashfsError {
    SquashfsError::Io {
        operation,
        log: Vec::new(),
        source: io::Error::from(error),
    }
}
