//! What to pack, and how.

use std::fmt;
use std::path::Path;

use northstar_manifest::Manifest;

use crate::key::SecretKey;
use crate::progress::Report;
use crate::squashfs::Compression;

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
    /// Compression of the image.
    pub compression: Compression,
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
            compression: Compression::default(),
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
            .field("compression", &self.compression)
            .field("mtime", &self.mtime)
            .finish_non_exhaustive()
    }
}
