//! What packing fails with, and what it warns of.

use std::io;
use std::path::PathBuf;

use northstar_manifest::{Difference, ManifestError, WriteError};

use crate::archive::ArchiveError;
use crate::package::OpenError;
use crate::squashfs::SquashfsError;
use crate::verity::VerityError;

/// Something that is not an error but may not be what was meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// A device node of the tree was left out: devices in an image are never honoured.
    #[error("device node {} is left out", path.display())]
    DeviceDropped {
        /// Path in the tree.
        path: PathBuf,
    },
    /// A socket of the tree was left out: in an image nobody listens on it.
    #[error("socket {} is left out", path.display())]
    SocketDropped {
        /// Path in the tree.
        path: PathBuf,
    },
    /// SELinux labels were left out: the daemon mounts images with a label of their own.
    #[error("SELinux labels of {files} files are left out")]
    LabelsDropped {
        /// How many files have one.
        files: u64,
    },
    /// An extended attribute was left out.
    #[error("extended attribute {attribute} of {} is left out", path.display())]
    AttributeDropped {
        /// Path in the tree.
        path: PathBuf,
        /// Name of the attribute.
        attribute: String,
    },
    /// Northstar 0.9.2 reads the manifest differently, or not at all.
    #[error("0.9.2 compatibility: {0}")]
    Compatibility(Difference),
}

/// Why nothing was packed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// The manifest does not read back.
    #[error("invalid manifest")]
    Manifest(#[source] Box<ManifestError>),
    /// The manifest changes when it is written and read.
    #[error("manifest does not read back as it was written")]
    ManifestDiffers,
    /// The manifest cannot be written as YAML, or is too large when it is.
    #[error("failed to write the manifest")]
    ManifestYaml(#[from] WriteError),
    /// The number of clones makes a name that is too long.
    #[error("invalid name for a clone")]
    CloneName(#[from] northstar_manifest::InvalidName),
    /// An image that exists was given together with a directory or files to make one of.
    #[error("an existing image cannot be packed together with a directory or additional files")]
    ImageAndTree,
    /// The image cannot be made, or does not read back.
    #[error(transparent)]
    Squashfs(#[from] SquashfsError),
    /// The hash tree cannot be made, or does not verify.
    #[error("failed to make the hash tree")]
    Verity(#[from] VerityError),
    /// The archive cannot be written, or something is too large for it.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The finished package does not open.
    #[error("the written package is not valid")]
    Check(#[source] Box<OpenError>),
    /// A file cannot be written.
    #[error("failed to write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
}
