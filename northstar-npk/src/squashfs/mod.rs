//! The squashfs image: writing, listing and reading it back.
//!
//! This stands on `backhand`, which needs no tool on the machine and gives the same bytes for the
//! same tree. What it does not do, and so neither does a package made here: extended attributes
//! and hard links (equal files share their data instead).

mod check;
mod decompress;
mod lzo;
mod mount_points;
mod read;
mod stored;
mod tree;
mod write;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use backhand::BackhandError;

pub(crate) use check::{Expected, check};
pub(crate) use read::open;
pub use read::{Entry, EntryKind, list};
pub(crate) use tree::{Node, NodeKind, Tree};
pub(crate) use write::{Attributes, Written, write};

/// How the blocks of an image are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compression {
    /// Every block is stored as it is.
    None,
    /// DEFLATE, level 9.
    #[default]
    Gzip,
    /// Zstandard, level 3.
    Zstd,
}

/// The word is not a [`Compression`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown compression {word:?}: it is one of none, gzip, zstd")]
pub struct UnknownCompression {
    /// The word.
    pub word: String,
}

impl FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(word: &str) -> Result<Compression, UnknownCompression> {
        match word {
            "none" => Ok(Compression::None),
            "gzip" => Ok(Compression::Gzip),
            "zstd" => Ok(Compression::Zstd),
            _ => Err(UnknownCompression {
                word: word.to_owned(),
            }),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        })
    }
}

/// What a squashfs operation failed with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SquashfsError {
    /// A file or directory of the tree cannot be read.
    #[error("failed to read {}", path.display())]
    Source {
        /// The file or directory.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The root of the tree is not a directory.
    #[error("{} is not a directory", path.display())]
    NotADirectory {
        /// The root.
        path: PathBuf,
    },
    /// A name in the tree is not UTF-8.
    #[error("name of {} is not UTF-8", path.display())]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// A mount point of the manifest collides with the tree.
    #[error("mount point {} is below {}, which is not a directory", mount_point.display(), path.display())]
    MountPointParent {
        /// The mount point.
        mount_point: PathBuf,
        /// What is in the way.
        path: PathBuf,
    },
    /// The tree has something at a mount point that cannot be mounted on.
    #[error("mount point {} is neither a directory nor, for a bind, a file in the packed tree", mount_point.display())]
    MountPoint {
        /// The mount point.
        mount_point: PathBuf,
    },
    /// The image cannot be written.
    #[error("failed to write the squashfs image")]
    Write(#[source] BackhandError),
    /// The image cannot be written.
    #[error("failed to write the squashfs image")]
    WriteFile(#[source] io::Error),
    /// The image cannot be read.
    #[error("failed to read the squashfs image")]
    Read(#[source] BackhandError),
    /// A file in the image cannot be read.
    #[error("failed to read {} from the squashfs image", path.display())]
    ReadFile {
        /// Path in the image.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The image just written does not read back as what was put into it.
    #[error("the written image differs from its source at {}: {what}", path.display())]
    Differs {
        /// Path in the image.
        path: PathBuf,
        /// What differs.
        what: &'static str,
    },
}
