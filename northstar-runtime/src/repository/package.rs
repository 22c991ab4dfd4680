//! An installed package, and which one answers to a requirement.

use std::{ffi::OsString, sync::Arc};

use northstar_manifest::{Container, Manifest, Name, VersionReq};

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

/// The package with the highest version that meets `requirement`, as Cargo reads it: a pre-release only meets a
/// requirement that names a pre-release of the same version.
pub fn newest_match<'a>(
    packages: impl IntoIterator<Item = &'a Arc<InstalledPackage>>,
    name: &Name,
    requirement: &VersionReq,
) -> Option<&'a Arc<InstalledPackage>> {
    let matching = packages.into_iter().filter(|package| {
        package.container.name() == name && requirement.matches(package.container.version())
    });
    matching.max_by(|a, b| a.container.version().cmp(b.container.version()))
}
