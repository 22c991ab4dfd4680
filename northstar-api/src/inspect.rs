//! Manifest and state of a container.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Manifest, RepositoryId};

/// Manifest and state of a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InspectData {
    /// The manifest, as far as the client can read it.
    pub manifest: Manifest,
    /// Where the container is installed.
    pub repository: RepositoryId,
    /// Whether its image is mounted.
    pub mounted: bool,
    /// Its process, if it runs.
    pub process: Option<ProcessData>,
    /// More about the container, by name. A 0.9.2 client skips what it does not know here.
    #[serde(flatten)]
    pub extra: BTreeMap<String, serde_json::Value>,
}

/// The process of a running container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessData {
    /// Process id of the container's init on the host.
    pub pid: u32,
    /// Time since the start in nanoseconds.
    pub uptime: u64,
    /// Numbers of the control group, by controller.
    pub statistics: BTreeMap<String, serde_json::Value>,
    /// More about the process, by name. A 0.9.2 client skips what it does not know here.
    #[serde(flatten)]
    pub extra: BTreeMap<String, serde_json::Value>,
}
