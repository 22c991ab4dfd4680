//! Where the packages of a repository are kept, and by which rules.

use std::{ffi::OsString, fs::File, path::PathBuf, sync::Arc};

use northstar_manifest::Container;
use northstar_npk::key::PublicKey;
use northstar_sys::memfd::{self, Content};
use rustix::{
    fs::{FallocateFlags, fallocate},
    io::Errno,
};

use super::{
    Claims, InstallError, RepositoryId,
    capacity::{Capacity, Share},
    directory::Directory,
};
use crate::storage::Integrity;

/// What all packages and installs of one repository share.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) repository: RepositoryId,
    pub(super) key: Option<PublicKey>,
    pub(super) integrity: Integrity,
    pub(super) capacity: Arc<Capacity>,
    pub(super) claims: Claims,
    /// `None`: in memory.
    pub(super) directory: Option<Arc<Directory>>,
}

/// Where one package is that is not installed yet. Dropping it deletes the file.
#[derive(Debug)]
pub(super) enum Location {
    /// In the staging directory.
    File {
        directory: Arc<Directory>,
        name: OsString,
        published: bool,
    },
    /// In memory: gone with its descriptors.
    Memory,
}

/// A file that is not installed yet, and the room that it takes: it goes before that is given back.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) location: Location,
    pub(super) share: Share,
}

impl Location {
    /// Makes an empty file with room for `size` bytes.
    pub(super) fn create(store: &Store, size: u64) -> Result<(Self, File), InstallError> {
        let Some(directory) = &store.directory else {
            let memory = Self::Memory;
            // Nothing is set aside: memory is taken as the bytes come, and the capacity is the limit.
            return match memfd::create("npk", Content::Data) {
                Ok(descriptor) => Ok((memory, descriptor.into())),
                Err(error) => Err(memory.memory_error("memfd_create", error)),
            };
        };
        let (name, file) = directory.create()?;
        let directory = Arc::clone(directory);
        let location = Self::File {
            directory,
            name,
            published: false,
        };
        // A full disk is noticed before the first byte, not after the last one.
        match fallocate(&file, FallocateFlags::KEEP_SIZE, 0, size.max(1)) {
            // The file system cannot set aside; then the writes notice.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok((location, file)),
            Err(error) => Err(location.error("fallocate", size, error)),
        }
    }

    /// Whether the file takes its way to a disk.
    pub(super) fn is_on_disk(&self) -> bool {
        matches!(self, Self::File { .. })
    }

    /// Makes the complete file an entry of the repository; returns its name.
    pub(super) fn publish(
        mut self,
        container: &Container,
    ) -> Result<Option<OsString>, InstallError> {
        match &mut self {
            Self::File {
                directory,
                name,
                published,
            } => {
                let entry = directory.publish(name, container)?;
                *published = true;
                Ok(Some(entry))
            }
            Self::Memory => Ok(None),
        }
    }

    /// The typed form of a failed system call on the file.
    pub(super) fn error(&self, operation: &'static str, size: u64, error: Errno) -> InstallError {
        if matches!(
            error,
            Errno::NOSPC | Errno::DQUOT | Errno::FBIG | Errno::NOMEM
        ) {
            return InstallError::NoSpace {
                path: self.path(),
                size,
                source: error.into(),
            };
        }
        match self {
            Self::File {
                directory, name, ..
            } => directory.install_error(operation, name, error),
            Self::Memory => InstallError::Io {
                operation,
                path: self.path(),
                source: error.into(),
            },
        }
    }

    pub(super) fn memory_error(
        &self,
        operation: &'static str,
        error: northstar_sys::Error,
    ) -> InstallError {
        InstallError::Io {
            operation,
            path: self.path(),
            source: error.into(),
        }
    }

    fn path(&self) -> PathBuf {
        match self {
            Self::File {
                directory, name, ..
            } => directory.staging_path(name),
            Self::Memory => "memfd".into(),
        }
    }
}

impl Drop for Location {
    fn drop(&mut self) {
        if let Self::File {
            directory,
            name,
            published: false,
        } = self
        {
            directory.discard(name);
        }
    }
}
