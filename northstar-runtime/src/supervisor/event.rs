//! What the supervisor tells everybody who asks: the events of the containers' life.
//!
//! Events are published in causal order and after the state they announce holds: who sees `Exited` may `umount`
//! at once, who sees `Installed` may start.

use northstar_manifest::Container;

/// One thing that happened to a container or to the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The image was mounted.
    Mounted(Container),
    /// The image was unmounted.
    Unmounted(Container),
    /// The container's program runs: its `execve` has happened.
    Started(Container),
    /// The container is gone and what was made for its run is cleaned up. It is still mounted.
    Exited(Container, Exit),
    /// A package was installed and is durable.
    Installed(Container),
    /// A package was removed.
    Uninstalled(Container),
    /// The kernel reported memory pressure in the container's cgroup.
    CgroupMemory(Container, MemoryEvents),
    /// The daemon shuts down.
    Shutdown,
}

impl Event {
    /// The container it is about, if it is about one.
    pub fn container(&self) -> Option<&Container> {
        match self {
            Event::Mounted(container)
            | Event::Unmounted(container)
            | Event::Started(container)
            | Event::Exited(container, _)
            | Event::Installed(container)
            | Event::Uninstalled(container)
            | Event::CgroupMemory(container, _) => Some(container),
            Event::Shutdown => None,
        }
    }
}

/// The end of a container's program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// How it ended.
    pub status: ExitStatus,
    /// Why, as far as the daemon knows.
    pub reason: ExitReason,
}

/// Why a container ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// The program ended by itself.
    OwnExit,
    /// A signal that nobody asked the daemon for.
    OwnSignal,
    /// A client asked for it with this signal.
    Requested(i32),
    /// The kernel killed it for memory.
    OutOfMemory,
    /// The daemon ends.
    Shutdown,
    /// Init ended without a word about the program.
    InitDied,
}

/// How a container's program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// It called `exit` with this code, 0 to 255.
    Exit(i32),
    /// It was ended by this signal (signal(7)).
    Signalled(i32),
}

impl ExitStatus {
    /// True for exit code 0, and only for it.
    pub fn success(self) -> bool {
        self == ExitStatus::Exit(0)
    }
}

impl std::fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ExitStatus::Exit(code) => write!(f, "exit code {code}"),
            ExitStatus::Signalled(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// The counters of `memory.events` (kernel, cgroup-v2.rst) that changed; `None` where the kernel has no such counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryEvents {
    /// Times the group was reclaimed although it was under its low boundary.
    pub low: Option<u64>,
    /// Times the group was throttled because it was over its high boundary.
    pub high: Option<u64>,
    /// Times the group was about to go over its limit.
    pub max: Option<u64>,
    /// Times an allocation was about to fail at the limit.
    pub oom: Option<u64>,
    /// Processes of the group killed by the out-of-memory killer.
    pub oom_kill: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exit_code_zero_is_success() {
        assert!(ExitStatus::Exit(0).success());
        assert!(!ExitStatus::Exit(1).success());
        assert!(!ExitStatus::Signalled(0).success());
        assert!(!ExitStatus::Signalled(9).success());
    }
}
