//! Manifest and state of a container.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Container, Manifest, RepositoryId};

/// Manifest and state of a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

impl ProcessData {
    /// CPU time used, in microseconds.
    #[must_use]
    pub fn cpu_usage_us(&self) -> Option<u64> {
        self.number("cpu", "usage_us")
    }

    /// Memory in use, in bytes.
    #[must_use]
    pub fn memory_usage(&self) -> Option<u64> {
        self.number("memory", "usage")
    }

    /// Most memory in use so far, in bytes.
    #[must_use]
    pub fn memory_peak(&self) -> Option<u64> {
        self.number("memory", "peak")
    }

    /// Processes and threads.
    #[must_use]
    pub fn pids(&self) -> Option<u64> {
        self.number("pids", "current")
    }

    fn number(&self, controller: &str, name: &str) -> Option<u64> {
        self.statistics.get(controller)?.get(name)?.as_u64()
    }
}

/// What one container uses. Extension `details`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ContainerStatistics {
    /// The container.
    pub container: Container,
    /// Whether its image is mounted.
    pub mounted: bool,
    /// How often it was started since the daemon's start.
    pub starts: u64,
    /// Its process, if it runs.
    pub process: Option<ProcessData>,
}
