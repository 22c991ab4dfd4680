//! Why a repository, one of its entries, an install or a removal failed.

use std::{io, path::PathBuf};

use northstar_manifest::Container;
use northstar_npk::{key::KeyError, verity::VerityError};
use thiserror::Error;

use super::RepositoryId;

/// Why a repository cannot be used at all.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The key cannot be used.
    #[error("key of the repository {repository}")]
    Key {
        /// The repository.
        repository: RepositoryId,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// The directory cannot be made, opened or read.
    #[error("repository {repository}: {operation} of {}", path.display())]
    Directory {
        /// The repository.
        repository: RepositoryId,
        /// The system call.
        operation: &'static str,
        /// The directory.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// Another daemon uses the directory.
    #[error("repository {repository}: {} is in use by another daemon", path.display())]
    InUse {
        /// The repository.
        repository: RepositoryId,
        /// The directory.
        path: PathBuf,
    },
}

/// An entry of a repository's directory that is left alone, and why.
#[derive(Debug)]
pub struct Rejected {
    /// The repository.
    pub repository: RepositoryId,
    /// The entry.
    pub entry: PathBuf,
    /// Why it is not used.
    pub reason: RejectReason,
}

/// Why an entry of a repository's directory is not used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RejectReason {
    /// The name does not end in `.npk`.
    #[error("not the name of a package (*.npk)")]
    Name,
    /// The entry is not a regular file.
    #[error("{kind}, not a regular file")]
    NotAFile {
        /// What it is.
        kind: &'static str,
    },
    /// The file cannot be opened.
    #[error("cannot be opened")]
    Open(#[source] io::Error),
    /// The file is not an acceptable package.
    #[error("not an acceptable package")]
    Package(#[source] northstar_npk::OpenError),
    /// The same name and version was found before, in the order of repositories and of names in a directory.
    #[error("{container} is in the repository {first} already")]
    Duplicate {
        /// The name and version.
        container: Container,
        /// The repository that has it.
        first: RepositoryId,
    },
}

/// Why a package was not installed. Nothing of it is left.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InstallError {
    /// The repository has as many packages as it may have.
    #[error("the repository {repository} has its {limit} packages already")]
    TooManyPackages {
        /// The repository.
        repository: RepositoryId,
        /// How many it may have.
        limit: u64,
    },
    /// The package does not fit into what the repository may hold.
    #[error(
        "{size} bytes do not fit into the repository {repository}: {used} of {limit} bytes are used"
    )]
    Capacity {
        /// The repository.
        repository: RepositoryId,
        /// The declared size of the package in bytes.
        size: u64,
        /// What is in use or set aside for running installs, in bytes.
        used: u64,
        /// What the repository may hold, in bytes.
        limit: u64,
    },
    /// The file system, or the memory, has no room for the package.
    #[error("no space for {size} bytes in {}", path.display())]
    NoSpace {
        /// Where the package was to be stored.
        path: PathBuf,
        /// The declared size of the package in bytes.
        size: u64,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The repository cannot be written to.
    #[error("the repository {repository} is read-only")]
    ReadOnly {
        /// The repository.
        repository: RepositoryId,
        /// Why there is no place for new packages.
        #[source]
        source: io::Error,
    },
    /// A system call failed.
    #[error("{operation} of {}", path.display())]
    Io {
        /// The system call.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// More bytes came than were declared.
    #[error("more than the declared {declared} bytes")]
    TooLong {
        /// The declared size in bytes.
        declared: u64,
    },
    /// Fewer bytes came than were declared.
    #[error("{received} of the declared {declared} bytes")]
    TooShort {
        /// The declared size in bytes.
        declared: u64,
        /// How many bytes came.
        received: u64,
    },
    /// The bytes are not an acceptable package.
    #[error("not an acceptable package")]
    Package(#[source] northstar_npk::OpenError),
    /// The image is not the signed one.
    #[error("the image is not the signed one")]
    Image(#[source] VerityError),
    /// A repository has this name and version already.
    #[error("{container} is in the repository {first} already")]
    Duplicate {
        /// The name and version.
        container: Container,
        /// The repository that has it.
        first: RepositoryId,
    },
    /// All names that the package's file could get are taken by entries that are not used.
    #[error("{} exists already", path.display())]
    Exists {
        /// The first of the names.
        path: PathBuf,
    },
    /// An earlier error ended this install, or the daemon is on its way out.
    #[error("the install was ended before")]
    Ended,
}

/// Why a package was not removed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// The package's file was exchanged for another one, which stays.
    #[error("{} is not the file that was loaded", path.display())]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// The repository cannot be written to.
    #[error("the repository {repository} is read-only")]
    ReadOnly {
        /// The repository.
        repository: RepositoryId,
        /// Why there is no place for packages on their way out.
        #[source]
        source: io::Error,
    },
    /// A system call failed.
    #[error("{operation} of {}", path.display())]
    Io {
        /// The system call.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The task that did the work ended without a result: the daemon is on its way out.
    #[error("the removal of {container} was interrupted")]
    Interrupted {
        /// The container.
        container: Container,
    },
}
