//! What goes wrong with images.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use backhand::BackhandError;

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
    /// A symbolic link points to a path that is longer than the library can write and read.
    #[error("{} is a symbolic link to a path of {size} bytes, and {limit} are the most that can be packed", path.display())]
    SymlinkTarget {
        /// Path in the tree.
        path: PathBuf,
        /// Length of the path that it points to in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A file has an extended attribute, which the builtin packer cannot pack.
    #[error("{} has the extended attribute {attribute}, which would be lost", path.display())]
    ExtendedAttribute {
        /// Path in the tree.
        path: PathBuf,
        /// Name of the attribute.
        attribute: String,
    },
    /// The block size is not one that squashfs has.
    #[error("block size {size} is not a power of two from 4096 to 1048576")]
    BlockSize {
        /// The size in bytes.
        size: u32,
    },
    /// The path of an additional file is none that a file in an image can have.
    #[error("{} is not the path of a file in the image", path.display())]
    ExtraPath {
        /// The path.
        path: PathBuf,
    },
    /// There is something already where an additional file would be, or one of its parents is not a directory.
    #[error("the additional file {} collides with {}", path.display(), existing.display())]
    ExtraExists {
        /// The path of the additional file.
        path: PathBuf,
        /// What is in the way.
        existing: PathBuf,
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
    /// An image made elsewhere does not have a mount point of the manifest.
    #[error("the image has no mount point {}", mount_point.display())]
    MountPointMissing {
        /// The mount point.
        mount_point: PathBuf,
    },
    /// The superblock of an image is not that of squashfs 4.0 as the kernel reads it.
    #[error("not a squashfs image: invalid {field}")]
    Superblock {
        /// The field.
        field: &'static str,
    },
    /// The superblock cannot be read.
    #[error("failed to read the superblock of the squashfs image")]
    ReadSuperblock(#[source] io::Error),
    /// An image made elsewhere is followed by something else than zeros.
    #[error("{} has data at offset {offset}, after the end of its image", path.display())]
    TrailingData {
        /// The image.
        path: PathBuf,
        /// Where in bytes.
        offset: u64,
    },
    /// The program cannot be run.
    #[error("failed to run {}", program.display())]
    Mksquashfs {
        /// The program.
        program: PathBuf,
        /// Cause; `NotFound` if it is not installed (package `squashfs-tools`).
        source: io::Error,
    },
    /// The program is not mksquashfs 4.4 or later.
    #[error("{} is {found:?} instead of mksquashfs 4.4 or later", program.display())]
    MksquashfsVersion {
        /// The program.
        program: PathBuf,
        /// The first line of what it says of its version.
        found: String,
    },
    /// The program failed.
    #[error("{} failed with {status}: {stderr}", program.display())]
    MksquashfsFailed {
        /// The program.
        program: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        stderr: String,
    },
    /// mksquashfs cannot be told to make a file of this name.
    #[error("{} has control characters in its name, which mksquashfs cannot be given", path.display())]
    PseudoName {
        /// Path in the image.
        path: PathBuf,
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
    /// A table of the image cannot be read.
    #[error("failed to read the {table} of the squashfs image")]
    ReadTable {
        /// The table.
        table: &'static str,
        /// Cause.
        source: io::Error,
    },
    /// A table of the image is not as packers make it, so that it might be read in more than one way.
    #[error("invalid {table} of the squashfs image: {what}")]
    Table {
        /// The table.
        table: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A directory of the image has an entry that might stand for more than one file.
    #[error("invalid entry in the directory {} of the squashfs image: {what}", path.display())]
    Entry {
        /// The directory.
        path: PathBuf,
        /// What is wrong with the entry.
        what: &'static str,
    },
    /// Directories of the image are nested deeper than anybody can use.
    #[error("directories of the image are nested more than {limit} deep")]
    Depth {
        /// The limit.
        limit: usize,
    },
    /// The image has too many files, paths that are too long or tables that are too large.
    #[error("the list of files in the image takes more than {limit} bytes of memory")]
    Listing {
        /// The limit in bytes.
        limit: u64,
    },
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

impl SquashfsError {
    pub(super) fn source(path: &Path, source: io::Error) -> SquashfsError {
        SquashfsError::Source {
            path: path.to_owned(),
            source,
        }
    }
}
