//! What all files of an image have in common.

use backhand::NodeHeader;

/// What all files of an image have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub uid: u32,
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime: u32,
}

impl Attributes {
    pub(super) fn header(self, mode: u16) -> NodeHeader {
        NodeHeader::new(mode, self.uid, self.gid, self.mtime)
    }
}
