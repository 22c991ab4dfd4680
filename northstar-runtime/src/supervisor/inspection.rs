//! What `inspect` tells about one container: a copy of the supervisor's knowledge at one moment.

use crate::{
    config::{self, Integrity, Storage},
    repository::RepositoryId,
    supervisor::{Exit, MemoryEvents},
};
use northstar_manifest::{Container, Manifest};
use std::{sync::Arc, time::Duration};

/// One installed container.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The manifest as it was read from the package.
    pub manifest: Arc<Manifest>,
    /// The repository that holds the package.
    pub repository: RepositoryId,
    /// The image is mounted.
    pub mounted: bool,
    /// How the image's bytes are protected while mounted.
    pub integrity: Protection,
    /// What the last start left out because it was missing and the repository says `missing = "skip"`.
    pub skipped: Vec<String>,
    /// What it is doing.
    pub state: State,
    /// How often it was started since the daemon's start.
    pub starts: u64,
    /// Its last end.
    pub last_exit: Option<Exit>,
    /// The running process, if there is one.
    pub process: Option<Process>,
}

/// What a container is doing: its run if there is one, else its image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing: it is only in its repository.
    Installed,
    /// Its image is being mounted.
    Mounting,
    /// Its image is mounted.
    Mounted,
    /// It waits for its images, or is being set up.
    Starting,
    /// Its program runs.
    Running,
    /// Its program has ended, and what was made for it is being cleaned up.
    Exiting,
    /// Its image is being unmounted.
    Unmounting,
    /// Its package is being removed.
    Removing,
}

impl State {
    /// The name that clients see.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Installed => "installed",
            State::Mounting => "mounting",
            State::Mounted => "mounted",
            State::Starting => "starting",
            State::Running => "running",
            State::Exiting => "exiting",
            State::Unmounting => "unmounting",
            State::Removing => "removing",
        }
    }
}

/// What one container uses.
#[derive(Clone, Debug)]
pub struct Usage {
    /// The container.
    pub container: Container,
    /// The image is mounted.
    pub mounted: bool,
    /// How often it was started since the daemon's start.
    pub starts: u64,
    /// The running process, if there is one.
    pub process: Option<Process>,
}

/// What stands between a change of the stored image and the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// The repository has no key: the package is trusted as it is.
    None,
    /// dm-verity checks each block when it is read.
    DmVerity,
    /// The image was read and checked completely before the mount, and is not checked after it.
    FullRead,
}

/// What a repository is, as far as clients may know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryFacts {
    /// Its name.
    pub id: RepositoryId,
    /// It is empty at each start of the daemon.
    pub in_memory: bool,
    /// How the images of its packages are protected.
    pub protection: Protection,
}

impl RepositoryFacts {
    /// What the configuration says.
    pub(super) fn new(id: &RepositoryId, repository: &config::Repository) -> RepositoryFacts {
        RepositoryFacts {
            id: id.clone(),
            in_memory: repository.storage == Storage::Mem,
            protection: match (&repository.key, repository.integrity) {
                (None, _) => Protection::None,
                (Some(_), Integrity::DmVerity) => Protection::DmVerity,
                (Some(_), Integrity::FullRead) => Protection::FullRead,
            },
        }
    }
}

/// The running instance of a container.
#[derive(Clone, Debug)]
pub struct Process {
    /// Process id of the container's init on the host.
    pub pid: u32,
    /// Time since the start.
    pub uptime: Duration,
    /// What its cgroup counts.
    pub statistics: Statistics,
}

/// Resources used, in the units of the kernel's cgroup files; `None` where the controller is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// CPU time used, in microseconds.
    pub cpu_usage_us: Option<u64>,
    /// Memory in use, in bytes.
    pub memory_bytes: Option<u64>,
    /// Most memory in use so far, in bytes.
    pub memory_peak_bytes: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Memory events so far.
    pub memory_events: MemoryEvents,
}
