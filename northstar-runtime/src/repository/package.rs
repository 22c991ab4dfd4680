//! An installed package.

use std::{ffi::OsString, sync::Arc};

use northstar_manifest::{Container, Manifest};

use super::{
    RepositoryId,
    capacity::{Claim, Share},
};
use crate::storage::{ImageSource, Integrity};

/// A package of a repository. It keeps the descriptor through which it was verified for as long as it exists.
#[derive(Debug)]
pub struct InstalledPackage {
    /// Name and version.
    pub container: Container,
    /// The manifest as it was verified; it is never read again.
    pub manifest: Arc<Manifest>,
    /// The repository that has the package.
    pub repository: RepositoryId,
    /// How the image is to be protected.
    pub integrity: Integrity,
    /// The image.
    pub source: ImageSource,
    /// The size of the whole package in bytes.
    pub size: u64,
    /// The name of the package's file in the repository's directory; `None` in memory.
    pub(super) entry: Option<OsString>,
    pub(super) _share: Share,
    pub(super) _claim: Claim,
}
