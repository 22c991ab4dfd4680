//! The ZIP archive of a package, in the one form in which packages exist.
//!
//! General ZIP readers disagree about duplicate names, data before or after the archive and
//! headers that contradict each other, and every such difference is a way to show one content to
//! the check and another one to the use. So nothing here searches or tolerates: from sizes,
//! checksums and the comment follow all other bytes (`layout.rs`), and a file that has one
//! byte elsewhere is not a package. What this module will never do: compression, encryption,
//! zip64, data descriptors, more entries.

mod layout;
mod parse;
mod read;
mod write;

use std::fmt;
use std::io;

use crate::limits;

pub use layout::Layout;
pub(crate) use layout::{Frame, LOCAL_HEADER_SIZE, Record, TAIL_LIMIT, local_header};
pub(crate) use parse::{first_difference, parse_local};
pub use read::Archive;
pub(crate) use write::{Contents, write};

/// The entries of a package, in the order in which they are in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryName {
    /// `manifest.yaml`.
    Manifest,
    /// `signature.yaml`, in signed packages only.
    Signature,
    /// `fs.img`.
    Image,
}

impl EntryName {
    /// The name in the archive.
    pub fn as_str(self) -> &'static str {
        match self {
            EntryName::Manifest => "manifest.yaml",
            EntryName::Signature => "signature.yaml",
            EntryName::Image => "fs.img",
        }
    }

    /// Largest content in bytes.
    pub(crate) fn limit(self) -> u64 {
        match self {
            EntryName::Manifest => limits::MANIFEST as u64,
            EntryName::Signature => limits::SIGNATURE as u64,
            // The marker of zip64 sizes is not a size.
            EntryName::Image => u64::from(u32::MAX) - 1,
        }
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where `fs.img` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageEntry {
    /// Offset in the file in bytes, a multiple of [`limits::BLOCK`].
    pub offset: u64,
    /// Size in bytes.
    pub size: u64,
    /// CRC-32 the archive names. Opening does not check it, a full verification does.
    pub crc32: u32,
}

/// Why a file is not a package archive, or cannot be written as one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// Reading failed.
    #[error("failed to read {what} at offset {offset}")]
    Read {
        /// The part that was read.
        what: &'static str,
        /// Offset in the file in bytes.
        offset: u64,
        /// Cause; `UnexpectedEof` if the file shrank.
        source: io::Error,
    },
    /// Writing failed.
    #[error("failed to write {what}")]
    Write {
        /// The part that was written.
        what: &'static str,
        /// Cause.
        source: io::Error,
    },
    /// The file does not end in an end record whose comment reaches exactly to the end.
    #[error(
        "no end of archive: the file does not end in an end record with a comment of at most {} bytes",
        limits::COMMENT
    )]
    NoEnd,
    /// The comment is too long.
    #[error("archive comment of {size} bytes is larger than {}", limits::COMMENT)]
    CommentSize {
        /// Size in bytes.
        size: usize,
    },
    /// A package has two entries, or three if it is signed.
    #[error("{found} entries instead of 2 or 3")]
    EntryCount {
        /// Number in the end record.
        found: u16,
    },
    /// The central directory is not between the contents and the end record.
    #[error("central directory of {size} bytes at offset {offset} is out of place")]
    Directory {
        /// Offset named by the end record.
        offset: u64,
        /// Size in bytes from there to the end record.
        size: u64,
    },
    /// The central directory ends in the middle of an entry.
    #[error("central directory ends within entry {index}")]
    DirectoryTruncated {
        /// Position of the entry, from 0.
        index: usize,
    },
    /// An entry has another name than the format has at this place.
    #[error("entry {index} is {found:?} instead of {expected}")]
    EntryOrder {
        /// Position of the entry, from 0.
        index: usize,
        /// The name in the archive, with invalid UTF-8 replaced.
        found: String,
        /// The entry that belongs there.
        expected: EntryName,
    },
    /// The headers are of none of the two known layouts.
    #[error("unknown header layout (made by {made_by:#06x}, needs {needed})")]
    UnknownLayout {
        /// Version made by; 0 where the header has no such field.
        made_by: u16,
        /// Version needed to extract.
        needed: u16,
    },
    /// A content is larger than the format allows, or empty.
    #[error("{entry} of {size} bytes is empty or larger than {limit}")]
    EntrySize {
        /// The entry.
        entry: EntryName,
        /// Its size in bytes.
        size: u64,
        /// The largest size in bytes.
        limit: u64,
    },
    /// The whole is larger than 4 GiB, which needs zip64.
    #[error("package of {size} bytes is larger than 4 GiB")]
    TooLarge {
        /// Size in bytes.
        size: u64,
    },
    /// A local header has a byte that differs from the only one allowed there.
    #[error("local header of {entry} is not canonical at offset {offset}")]
    LocalHeader {
        /// The entry.
        entry: EntryName,
        /// Offset in the file in bytes.
        offset: u64,
    },
    /// The central directory or end record has a byte that differs from the only one allowed there.
    #[error("central directory is not canonical at offset {offset}")]
    CentralHeader {
        /// Offset in the file in bytes.
        offset: u64,
    },
    /// The content does not match its checksum.
    #[error("{entry} does not match its CRC-32")]
    Checksum {
        /// The entry.
        entry: EntryName,
    },
}
