//! A repository's directory on disk.
//!
//! Packages are `*.npk` in the directory. What is not a package yet, or not any more, is in `.staging` beside them,
//! on the same file system, so that a rename makes a package appear or disappear as a whole:
//!
//! ```text
//! install:   .staging/install-N --write, fsync--> --rename--> NAME-VERSION.npk --fsync directory--> acknowledged
//! uninstall: ENTRY.npk --rename--> .staging/remove-N --fsync directory--> unlink
//! ```
//!
//! A daemon that is killed in between leaves files in `.staging` only; the next one deletes them.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use northstar_manifest::Container;
use rustix::{
    fs::{
        AtFlags, FileType, FlockOperation, Mode, OFlags, fcntl_setfl, flock, fsync, open, openat,
        statat, unlinkat,
    },
    io::Errno,
};

use super::{
    InstallError, OpenError, RejectReason, RemoveError, RepositoryId,
    files::{
        INSTALL, REMOVE, STAGING, delete_unfinished, is_regular, move_no_replace, names,
        open_staging, same_file,
    },
};

/// What the name of a package ends in.
const EXTENSION: &[u8] = b".npk";
/// How many names are tried for an installed package, if entries that are not used have them.
const NAMES: u32 = 16;

/// The open directory of a repository.
#[derive(Debug)]
pub(super) struct Directory {
    repository: RepositoryId,
    path: PathBuf,
    descriptor: OwnedFd,
    /// `.staging`, locked for the life of the repository. On a read-only file system there is none.
    staging: Result<OwnedFd, Errno>,
    number: AtomicU64,
}

impl Directory {
    /// Opens the directory, which is made if it is missing, and deletes what an earlier daemon left unfinished.
    pub(super) fn open(repository: &RepositoryId, path: &Path) -> Result<Self, OpenError> {
        let failed = |operation, source| OpenError::Directory {
            repository: repository.clone(),
            operation,
            path: path.to_owned(),
            source,
        };
        if let Err(error) = std::fs::create_dir_all(path) {
            return Err(failed("mkdir", error));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptor =
            open(path, flags, Mode::empty()).map_err(|error| failed("open", error.into()))?;
        let staging = match open_staging(&descriptor) {
            Ok(staging) => Ok(staging),
            Err(error @ (Errno::ROFS | Errno::ACCESS | Errno::PERM)) => Err(error),
            Err(error) => return Err(failed("open of .staging", error.into())),
        };
        if let Ok(staging) = &staging {
            match flock(staging, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => {
                    return Err(OpenError::InUse {
                        repository: repository.clone(),
                        path: path.to_owned(),
                    });
                }
                Err(error) => return Err(failed("flock of .staging", error.into())),
            }
            delete_unfinished(staging)
                .map_err(|error| failed("clean-up of .staging", error.into()))?;
        }
        Ok(Self {
            repository: repository.clone(),
            path: path.to_owned(),
            descriptor,
            staging,
            number: AtomicU64::new(0),
        })
    }

    /// Whether only the daemon's user can put files into the directory.
    pub(super) fn is_private(&self) -> bool {
        let Ok(found) = rustix::fs::fstat(&self.descriptor) else {
            return false;
        };
        found.st_uid == rustix::process::geteuid().as_raw() && found.st_mode & 0o022 == 0
    }

    /// The path of an entry, for people.
    pub(super) fn path_of(&self, entry: &OsStr) -> PathBuf {
        self.path.join(entry)
    }

    /// The names of all entries but `.staging`, sorted, so that each start sees them in the same order.
    pub(super) fn entries(&self) -> Result<Vec<OsString>, OpenError> {
        let failed = |error: Errno| OpenError::Directory {
            repository: self.repository.clone(),
            operation: "getdents",
            path: self.path.clone(),
            source: error.into(),
        };
        let mut names = names(&self.descriptor).map_err(failed)?;
        names.retain(|name| name != STAGING);
        names.sort_unstable();
        Ok(names)
    }

    /// Opens an entry that has the name and the type of a package. Never blocks and never has a side effect on
    /// something else than a regular file.
    pub(super) fn open_entry(&self, entry: &OsStr) -> Result<File, RejectReason> {
        if !entry.as_bytes().ends_with(EXTENSION) {
            return Err(RejectReason::Name);
        }
        let failed = |error: Errno| RejectReason::Open(error.into());
        let found = statat(&self.descriptor, entry, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        is_regular(FileType::from_raw_mode(found.st_mode))?;
        // Whatever takes the file's place from here on is still opened without waiting, and looked at again.
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let descriptor = openat(&self.descriptor, entry, flags, Mode::empty()).map_err(failed)?;
        let found = rustix::fs::fstat(&descriptor).map_err(failed)?;
        is_regular(FileType::from_raw_mode(found.st_mode))?;
        fcntl_setfl(&descriptor, OFlags::empty()).map_err(failed)?;
        Ok(descriptor.into())
    }

    /// Makes an empty file on its way in, readable and writable.
    pub(super) fn create(&self) -> Result<(OsString, File), InstallError> {
        let staging = self.staging().map_err(|source| InstallError::ReadOnly {
            repository: self.repository.clone(),
            source,
        })?;
        let name = self.staging_name(INSTALL);
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(staging, &name, flags, Mode::from_raw_mode(0o644)) {
            Ok(descriptor) => Ok((name, descriptor.into())),
            Err(error) => Err(self.install_error("open", &name, error)),
        }
    }

    /// Opens a file on its way in a second time, read-only.
    pub(super) fn reopen(&self, name: &OsStr) -> Result<File, InstallError> {
        let staging = self.staging().map_err(|source| InstallError::ReadOnly {
            repository: self.repository.clone(),
            source,
        })?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(staging, name, flags, Mode::empty())
            .map(File::from)
            .map_err(|error| self.install_error("open", name, error))
    }

    /// Deletes a file on its way in. There is nobody to tell about a failure; the next start deletes it.
    pub(super) fn discard(&self, name: &OsStr) {
        let Ok(staging) = self.staging() else { return };
        match unlinkat(staging, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => {
                tracing::warn!("unlink of {}: {error}", self.staging_path(name).display());
            }
        }
    }

    /// Makes a complete file on its way in an entry, durably. Never replaces an entry.
    pub(super) fn publish(
        &self,
        name: &OsStr,
        container: &Container,
    ) -> Result<OsString, InstallError> {
        let staging = self.staging().map_err(|source| InstallError::ReadOnly {
            repository: self.repository.clone(),
            source,
        })?;
        let stem = format!("{}-{}", container.name(), container.version());
        for attempt in 0..NAMES {
            // A broken file that has the name must not keep the good package out.
            let entry: OsString = match attempt {
                0 => format!("{stem}.npk").into(),
                _ => format!("{stem}.{attempt}.npk").into(),
            };
            match move_no_replace(staging, name, self.descriptor.as_fd(), &entry) {
                Ok(()) => {}
                Err(Errno::EXIST) => continue,
                Err(error) => return Err(self.install_error("rename", name, error)),
            }
            if let Err(error) = fsync(&self.descriptor) {
                // Not durable, so not installed.
                let _ = unlinkat(&self.descriptor, &entry, AtFlags::empty());
                return Err(InstallError::Io {
                    operation: "fsync",
                    path: self.path.clone(),
                    source: error.into(),
                });
            }
            return Ok(entry);
        }
        Err(InstallError::Exists {
            path: self.path.join(format!("{stem}.npk")),
        })
    }

    /// Removes the entry that `file` was opened from, durably. An entry that is gone already is removed.
    pub(super) fn remove(&self, entry: &OsStr, file: &File) -> Result<(), RemoveError> {
        let staging = self.staging().map_err(|source| RemoveError::ReadOnly {
            repository: self.repository.clone(),
            source,
        })?;
        let failed = |operation, error: Errno| RemoveError::Io {
            operation,
            path: self.path.join(entry),
            source: error.into(),
        };
        let name = self.staging_name(REMOVE);
        match move_no_replace(self.descriptor.as_fd(), entry, staging, &name) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(failed("rename", error)),
        }
        // Only now is it certain which file is about to be deleted.
        if !same_file(staging, &name, file).map_err(|error| failed("stat", error))? {
            move_no_replace(staging, &name, self.descriptor.as_fd(), entry)
                .map_err(|error| failed("rename", error))?;
            return Err(RemoveError::Replaced {
                path: self.path.join(entry),
            });
        }
        fsync(&self.descriptor).map_err(|error| failed("fsync", error))?;
        // From here on the package is gone; what is left of it is deleted now or at the next start.
        if let Err(error) = unlinkat(staging, &name, AtFlags::empty()) {
            tracing::warn!("unlink of {}: {error}", self.staging_path(&name).display());
        }
        Ok(())
    }

    /// The typed form of a failed system call on a file on its way in.
    pub(super) fn install_error(
        &self,
        operation: &'static str,
        name: &OsStr,
        error: Errno,
    ) -> InstallError {
        let source = error.into();
        InstallError::Io {
            operation,
            path: self.staging_path(name),
            source,
        }
    }

    /// The path of a file on its way in, for people.
    pub(super) fn staging_path(&self, name: &OsStr) -> PathBuf {
        self.path.join(STAGING).join(name)
    }

    fn staging(&self) -> io::Result<BorrowedFd<'_>> {
        match &self.staging {
            Ok(staging) => Ok(staging.as_fd()),
            Err(error) => Err((*error).into()),
        }
    }

    /// A name that no other file of this daemon has; the directory is empty when the daemon starts and locked.
    fn staging_name(&self, prefix: &str) -> OsString {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        format!("{prefix}{number}").into()
    }
}
