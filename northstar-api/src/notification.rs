//! What the server tells without being asked.

use serde::{Deserialize, Serialize};

use crate::{Container, Exit, Kind};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Notification {
    /// A control group reports something.
    CGroup(Container, CGroupNotification),
    /// A container has ended.
    Exit(Container, Exit),
    /// A container was installed.
    Install(Container),
    /// The daemon ends.
    Shutdown,
    /// A container was started.
    Started(Container),
    /// A container was uninstalled.
    Uninstall(Container),
    /// An image was mounted. Extension `details`.
    Mounted(Container),
    /// An image was unmounted. Extension `details`.
    Umounted(Container),
    /// The client reads too slowly: notifications were lost. Extension `sequence`.
    Lagged {
        /// How many, before any filter.
        missed: u64,
    },
}

impl Notification {
    /// The kind that a filter knows it by; none of [`Notification::Lagged`], which no filter holds back.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        Some(match self {
            Notification::CGroup(..) => Kind::CGroup,
            Notification::Exit(..) => Kind::Exit,
            Notification::Install(_) => Kind::Install,
            Notification::Shutdown => Kind::Shutdown,
            Notification::Started(_) => Kind::Started,
            Notification::Uninstall(_) => Kind::Uninstall,
            Notification::Mounted(_) => Kind::Mounted,
            Notification::Umounted(_) => Kind::Umounted,
            Notification::Lagged { .. } => return None,
        })
    }
}

/// What a control group reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CGroupNotification {
    /// Memory events.
    Memory(MemoryNotification),
}

/// Counters of `memory.events` (cgroups(7)); `None` if the kernel has no such counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MemoryNotification {
    /// Reclaims below the low boundary.
    pub low: Option<u64>,
    /// Throttlings at the high boundary.
    pub high: Option<u64>,
    /// Times the limit was about to be exceeded.
    pub max: Option<u64>,
    /// Times the limit was reached and allocation was about to fail.
    pub oom: Option<u64>,
    /// Processes killed.
    pub oom_kill: Option<u64>,
}
