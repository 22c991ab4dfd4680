//! What a repository is.

use serde::{Deserialize, Serialize};

use crate::RepositoryId;

/// What a repository is. Extension `details`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RepositoryDetails {
    /// Its name.
    pub repository: RepositoryId,
    /// Where it keeps packages.
    #[serde(rename = "type")]
    pub kind: RepositoryKind,
    /// Whether packages have to be signed.
    pub keyed: bool,
    /// How the images of its packages are protected.
    pub integrity: RepositoryIntegrity,
}

/// Where a repository keeps packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RepositoryKind {
    /// In a directory.
    Fs,
    /// In memory: it is empty at each start of the daemon.
    Mem,
}

/// How images are checked against their signed root hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RepositoryIntegrity {
    /// Not at all: the repository has no key.
    None,
    /// By the kernel, at each read of a block.
    DmVerity,
    /// Completely before each mount, and not after it.
    FullRead,
}
