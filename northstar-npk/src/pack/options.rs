//! What to pack, and how.

use std::fmt;
use std::path::{Path, PathBuf};

use northstar_manifest::Manifest;

use super::Packer;
use crate::key::SecretKey;
use crate::progress::Report;
use crate::squashfs::{Compression, Xattrs};

/// What to pack, and how.
///
/// [`PackOptions::new`] has the defaults; fields may be added.
#[derive(Clone, Copy)]
pub struct PackOptions<'a> {
    /// The manifest. It is written anew, so comments are not carried over.
    pub manifest: &'a Manifest,
    /// The directory whose content goes into the image; without it just the mount points do.
    pub root: Option<&'a Path>,
    /// Signs the package; without it the package is not signed and has no hash tree.
    pub key: Option<&'a SecretKey>,
    /// Files that go into the image beside those of the directory, of mode 0644, by their path in it.
    pub extra: &'a [(PathBuf, Vec<u8>)],
    /// Who makes the image.
    pub packer: Packer<'a>,
    /// Compression of the image.
    pub compression: Compression,
    /// How many bytes of a file are compressed together: a power of two from 4 KiB to 1 MiB.
    /// `None` is 128 KiB.
    pub block_size: Option<u32>,
    /// What happens with files that have extended attributes.
    pub xattrs: Xattrs,
    /// Time of last modification of every file in seconds since 1970.
    ///
    /// Command lines take it from the environment variable `SOURCE_DATE_EPOCH` and else use 0.
    pub mtime: u32,
    /// Whom to tell how far the work is.
    pub progress: Option<Report<'a>>,
}

impl<'a> PackOptions<'a> {
    /// An unsigned package of the manifest alone, with the default of everything.
    pub fn new(manifest: &'a Manifest) -> PackOptions<'a> {
        PackOptions {
            manifest,
            root: None,
            key: None,
            extra: &[],
            packer: Packer::default(),
            compression: Compression::default(),
            block_size: None,
            xattrs: Xattrs::default(),
            mtime: 0,
            progress: None,
        }
    }
}

impl fmt::Debug for PackOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackOptions")
            .field("manifest", &self.manifest.container())
            .field("root", &self.root)
            .field("key", &self.key)
            .field("extra", &self.extra.len())
            .field("packer", &self.packer)
            .field("compression", &self.compression)
            .field("block_size", &self.block_size)
            .field("xattrs", &self.xattrs)
            .field("mtime", &self.mtime)
            .finish_non_exhaustive()
    }
}
