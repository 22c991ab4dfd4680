//! The directory an image is mounted on, `run_dir/NAME:VERSION`.
//!
//! The directory is made, checked and mounted on through descriptors: between check and mount no name is looked up
//! again. Its parent has to belong to the daemon and to be writable for nobody else; so nobody can exchange the
//! directory later either, when it is unmounted by its name (umount(2) knows no descriptors).

use std::{
    ffi::OsString,
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::{MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, Mode, OFlags, StatxAttributes, StatxFlags, mkdirat, openat, statx, unlinkat},
    io::Errno,
};

use super::{cleanup::CleanupError, error::TargetError};

/// Permission bits of a mount point. What is seen through the mount has permissions of its own.
const MODE: u32 = 0o755;

/// A directory of ours with nothing mounted on it yet.
#[derive(Debug)]
pub(super) struct Target {
    path: PathBuf,
    parent: OwnedFd,
    name: OsString,
    removed: bool,
}

impl Target {
    /// Makes the directory `path`, or takes the empty one that is there.
    pub(super) fn create(path: &Path) -> Result<(Self, OwnedFd), TargetError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(TargetError::Path);
        };
        if !path.is_absolute() {
            return Err(TargetError::Path);
        }
        let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent_path = parent;
        let parent = rustix::fs::open(parent_path, directory, Mode::empty())
            .map_err(|error| failed("open of the run directory", error))?;
        owned_by_us(&parent, parent_path)?;
        match mkdirat(&parent, name, Mode::from_raw_mode(MODE)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(failed("mkdirat", error)),
        }
        let target = Self {
            path: path.to_owned(),
            parent,
            name: name.to_owned(),
            removed: false,
        };
        let descriptor = openat(
            &target.parent,
            &target.name,
            directory | OFlags::NOFOLLOW,
            Mode::empty(),
        )
        .map_err(|error| failed("openat", error))?;
        if is_mount_root(descriptor.as_fd()).map_err(|error| failed("statx", error))? {
            // Not made by this call, so nothing to remove.
            target.leave();
            return Err(TargetError::Occupied);
        }
        owned_by_us(&descriptor, path)?;
        Ok((target, descriptor))
    }

    /// Leaves the directory as it is.
    pub(super) fn leave(mut self) {
        self.removed = true;
    }

    /// The directory's path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the directory.
    pub(super) fn remove(mut self) -> Result<(), CleanupError> {
        self.remove_once()
    }

    fn remove_once(&mut self) -> Result<(), CleanupError> {
        if std::mem::replace(&mut self.removed, true) {
            return Ok(());
        }
        match unlinkat(&self.parent, &self.name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(CleanupError::RemoveTarget {
                path: self.path.clone(),
                source: error.into(),
            }),
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Err(error) = self.remove_once() {
            tracing::warn!("{error}");
        }
    }
}

/// Whether the descriptor is the root of a mount (`STATX_ATTR_MOUNT_ROOT`, Linux 5.8).
pub(super) fn is_mount_root(descriptor: BorrowedFd<'_>) -> rustix::io::Result<bool> {
    let found = statx(
        descriptor,
        c"",
        AtFlags::EMPTY_PATH,
        StatxFlags::BASIC_STATS,
    )?;
    Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

fn owned_by_us(directory: &OwnedFd, path: &Path) -> Result<(), TargetError> {
    let metadata = directory
        .try_clone()
        .and_then(|descriptor| File::from(descriptor).metadata())
        .map_err(|source| TargetError::Io {
            operation: "fstat",
            source,
        })?;
    let mode = metadata.permissions().mode() & 0o7777;
    let owner = metadata.uid();
    if owner == rustix::process::geteuid().as_raw() && mode & 0o022 == 0 {
        Ok(())
    } else {
        Err(TargetError::Writable {
            path: path.to_owned(),
            owner,
            mode,
        })
    }
}

fn failed(operation: &'static str, error: Errno) -> TargetError {
    TargetError::Io {
        operation,
        source: io::Error::from(error),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn the_directory_is_made_and_removed() {
        let run = tempfile::tempdir().unwrap();
        let path = run.path().join("a:1.0.0");
        let (target, _descriptor) = Target::create(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            MODE
        );
        target.remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_symlink_in_the_place_of_the_directory_is_not_followed() {
        let run = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        symlink(elsewhere.path(), run.path().join("a:1.0.0")).unwrap();
        let error = Target::create(&run.path().join("a:1.0.0")).unwrap_err();
        assert!(
            matches!(&error, TargetError::Io { source, .. } if source.raw_os_error() == Some(nix::libc::ENOTDIR)),
            "{error:?}"
        );
    }

    #[test]
    fn a_run_directory_that_others_may_write_is_refused() {
        let run = tempfile::tempdir().unwrap();
        fs::set_permissions(run.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let error = Target::create(&run.path().join("a:1.0.0")).unwrap_err();
        assert!(
            matches!(error, TargetError::Writable { mode: 0o777, .. }),
            "{error:?}"
        );
    }

    #[test]
    fn a_path_without_a_name_is_refused() {
        for path in ["/", "relative/a:1.0.0", "/run/.."] {
            let error = Target::create(Path::new(path)).unwrap_err();
            assert!(matches!(error, TargetError::Path), "{path}: {error:?}");
        }
    }
}
