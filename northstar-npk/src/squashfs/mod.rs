//! The squashfs image: writing, listing and reading it back.
//!
//! This stands on `backhand`, which needs no tool on the machine and gives the same bytes for the
//! same tree. Hard links, which it does not write, are added afterwards. Extended attributes it does not write
//! either; `mksquashfs` does, where it is installed, and images made elsewhere are taken as they are.

mod ahead;
mod attributes;
mod block_size;
mod check;
mod codec;
mod compression;
mod content;
mod contents;
mod decompress;
mod error;
pub(crate) mod foreign;
mod links;
mod lzo;
mod mksquashfs;
mod mount_points;
mod queue;
mod read;
mod shape;
mod source;
mod superblock;
mod tree;
mod write;
mod xattrs;

pub(crate) use attributes::Attributes;
pub(crate) use block_size::BlockSize;
pub(crate) use check::{Expected, check};
pub use compression::{Compression, UnknownCompression};
pub use content::{hash_files, read_file};
pub(crate) use contents::Contents;
pub use error::SquashfsError;
pub(crate) use links::Links;
pub(crate) use mksquashfs::{Mksquashfs, Order};
pub(crate) use read::open_with_links;
pub use read::{Entry, EntryKind, list};
pub(crate) use tree::{Node, NodeKind, Scan, Tree};
pub(crate) use write::write;
pub use xattrs::Xattrs;
