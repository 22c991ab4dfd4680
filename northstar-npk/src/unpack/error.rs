//! What unpacking fails with, and what it warns of.

use std::io;
use std::path::{Path, PathBuf};

use crate::squashfs::SquashfsError;

/// Why a package is not unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// The target is there already and is not an empty directory.
    #[error("{} exists already", path.display())]
    Exists {
        /// The target.
        path: PathBuf,
    },
    /// The image cannot be read.
    #[error(transparent)]
    Squashfs(#[from] SquashfsError),
    /// The files of the image are larger together than allowed.
    #[error("the files of the image are larger than {limit} bytes together")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The image has more files than allowed.
    #[error("the image has more than {limit} files")]
    TooMany {
        /// The limit.
        limit: u64,
    },
    /// A name in the image is none that a file can have.
    #[error("invalid path {} in the image", path.display())]
    Path {
        /// The path in the image.
        path: PathBuf,
    },
    /// A file cannot be made.
    #[error("failed to create {}", path.display())]
    Create {
        /// The file, or its path in the image.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
}

/// What unpacking left out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackWarning {
    /// Device nodes are not made: they belong to the kernel that runs the container.
    #[error("device node {} is left out", path.display())]
    Device {
        /// Path in the image.
        path: PathBuf,
    },
    /// Sockets are not made: nobody would listen.
    #[error("socket {} is left out", path.display())]
    Socket {
        /// Path in the image.
        path: PathBuf,
    },
    /// The set-id bits are cleared: the file belongs to whoever unpacks.
    #[error("set-id bits of {} are cleared", path.display())]
    SetId {
        /// Path in the image.
        path: PathBuf,
    },
}

/// Makes an error about a file that cannot be made.
pub(super) fn create(path: &Path) -> impl Fn(io::Error) -> UnpackError {
    let path = path.to_owned();
    move |source| UnpackError::Create {
        path: path.clone(),
        source,
    }
}
