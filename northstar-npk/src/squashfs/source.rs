//! Where the content of a file comes from.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::PathBuf;
use std::sync::Arc;

/// The content of a regular file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A file of the packed tree.
    File(PathBuf),
    /// A file that is not in the tree.
    Bytes(Arc<[u8]>),
}

impl Source {
    /// Begins to read. Files are opened when their turn comes, so that their number is not limited
    /// by that of descriptors.
    pub(super) fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(match self {
            Source::File(path) => Box::new(File::open(path)?),
            Source::Bytes(bytes) => Box::new(Cursor::new(bytes)),
        })
    }
}
