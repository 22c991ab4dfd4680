//! Why a launch failed, by step.

use super::sockets::SocketError;
use crate::storage::MountError;
use northstar_manifest::Container;
use northstar_sandbox::{StepError, cgroup::CgroupError, seccomp::SeccompError};
use std::{fmt, io, path::PathBuf, sync::Arc, time::Duration};

/// A launch that failed. What it had made is undone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The image of the container or of one of its resources could not be mounted.
    #[error("mount of {image}")]
    Mount {
        /// The container or resource.
        image: Container,
        /// Why.
        #[source]
        source: Arc<MountError>,
    },
    /// The root of a mounted image could not be opened once more.
    #[error("root of an image")]
    Root(#[source] io::Error),
    /// A bind source does not exist or cannot be opened.
    #[error("bind source {} for {}", host.display(), target.display())]
    BindSource {
        /// The mount point in the container.
        target: PathBuf,
        /// The path on the host.
        host: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A resource is asked for with `rw`.
    #[error("resource for {} cannot be writable: remove rw from its options", target.display())]
    WritableResource {
        /// The mount point in the container.
        target: PathBuf,
    },
    /// A supplementary group does not exist on the host.
    #[error("group {name} does not exist")]
    UnknownGroup {
        /// The group.
        name: String,
    },
    /// The host's groups could not be read.
    #[error("group {name}")]
    Group {
        /// The group.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A supplementary group of the host does not exist in the container's user namespace.
    #[error("group {name} of the host has no id in a user namespace")]
    GroupInUserNamespace {
        /// The group.
        name: String,
    },
    /// The container's user or group does not exist in its user namespace.
    #[error("user namespaces have the ids 0 to {}, and not {id}", count.saturating_sub(1))]
    IdBeyondUserNamespace {
        /// The user or group.
        id: u32,
        /// How many there are.
        count: u32,
    },
    /// Every range of ids for user namespaces is in use.
    #[error("all {count} ranges of ids for user namespaces are in use")]
    NoFreeIds {
        /// How many are configured.
        count: u32,
    },
    /// The network namespace does not exist or cannot be opened.
    #[error("network namespace {}", path.display())]
    Network {
        /// Where it should be.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The file is no network namespace.
    #[error("{} is no network namespace", path.display())]
    NotANamespace {
        /// The file.
        path: PathBuf,
    },
    /// There is no network namespace to make the sockets in that the container is given.
    #[error("network namespace for the sockets of the container")]
    SocketNetwork(#[source] io::Error),
    /// The persistent directory could not be made or opened.
    #[error("persistent directory {}", path.display())]
    Persist {
        /// The directory on the host.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A mount could not be prepared.
    #[error("mount {}", target.display())]
    Prepare {
        /// The mount point in the container.
        target: PathBuf,
        /// Why.
        #[source]
        source: northstar_sandbox::mount::MountError,
    },
    /// A capability is none to the sandbox.
    #[error("capabilities")]
    Capability(#[source] northstar_sandbox::plan::UnknownCapability),
    /// A limit is none to the sandbox.
    #[error("rlimits")]
    Rlimit(#[source] northstar_sandbox::plan::UnknownRlimit),
    /// The scheduling policy has no parameters.
    #[error("the policy deadline needs runtime, deadline and period")]
    DeadlineParameters,
    /// The pipes for the output, or `/dev/null`, could not be opened.
    #[error("standard input and output")]
    Output(#[source] io::Error),
    /// The container's console could not be made.
    #[error("console of the container")]
    Console(#[source] io::Error),
    /// A socket could not be bound.
    #[error("socket")]
    Socket(#[source] SocketError),
    /// The system call list cannot be compiled.
    #[error("seccomp")]
    Seccomp(#[source] SeccompError),
    /// There are no system call lists for the machine's architecture.
    #[error("seccomp is not supported on {}", std::env::consts::ARCH)]
    SeccompArchitecture,
    /// The cgroup could not be made or entered.
    #[error("cgroup")]
    Cgroup(#[source] CgroupError),
    /// The forker or init could not be talked to.
    #[error("{phase}: the plan could not be handed over")]
    Send {
        /// Whom it was for.
        phase: Phase,
        /// Why.
        #[source]
        source: northstar_sandbox::SendError,
    },
    /// What init says could not be read.
    #[error("{phase}: init sends nonsense")]
    Receive {
        /// What was waited for.
        phase: Phase,
        /// Why.
        #[source]
        source: northstar_sandbox::ReceiveError,
    },
    /// Init said something else than what comes now.
    #[error("{phase}: init is out of step")]
    Protocol {
        /// What was waited for.
        phase: Phase,
    },
    /// Init ended without a word.
    #[error("{phase}: init died")]
    InitDied {
        /// What was waited for.
        phase: Phase,
    },
    /// The limit on memory let init or the program be killed before the program ran.
    #[error("the limit on memory (cgroups.memory) is below what a start takes")]
    Memory(#[source] Box<Error>),
    /// A phase did not come to its end in time.
    #[error("{phase}: no answer within {limit:?}")]
    Timeout {
        /// What was waited for.
        phase: Phase,
        /// The limit.
        limit: Duration,
    },
    /// What an earlier start of the container has looked up on the host has still not been found.
    #[error("an earlier start still waits for a file system of the host")]
    Unprepared,
    /// A step in init or in the container's first process failed.
    #[error("{0}")]
    Step(StepError),
    /// Init could not be watched.
    #[error("descriptors of init")]
    Watch(#[source] io::Error),
    /// The process that creates inits is gone.
    #[error("the forker is gone")]
    ForkerGone,
    /// The daemon shuts down.
    #[error("cancelled")]
    Cancelled,
    /// The task that did the work ended without a result: the daemon is on its way out.
    #[error("interrupted")]
    Interrupted,
}

/// The part of a launch in which the daemon waits for somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The file systems of the host are looked at.
    Prepare,
    /// The forker creates an init.
    Create,
    /// Init sets up the container and parks.
    Arm,
    /// Init starts the program.
    Go,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Prepare => "prepare",
            Phase::Create => "create",
            Phase::Arm => "arm",
            Phase::Go => "go",
        })
    }
}
