//! The configuration as the daemon works with it: every value is in its final type and range.

use super::{RepositoryId, Tls};
use northstar_manifest::Permissions;
use std::{
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

/// A checked configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where consoles listen. Empty: only containers have a console.
    pub console: Vec<Listener>,
    /// Limits of the consoles of containers.
    pub container_console_options: ConnectionOptions,
    /// Mount points and other state of this run.
    pub run_dir: PathBuf,
    /// Persistent data of the containers.
    pub data_dir: PathBuf,
    /// Output files of strace and perf.
    pub log_dir: PathBuf,
    /// The sockets that the runtime binds for containers.
    pub socket_dir: PathBuf,
    /// Most images being mounted at a time.
    pub mount_parallel: NonZeroUsize,
    /// The cgroup below which the containers' groups are, relative to the cgroup root, without `..`.
    pub cgroup: PathBuf,
    /// How long a container may take to end after SIGTERM before it is killed.
    pub stop_timeout: Duration,
    /// How long to wait for a loop device.
    pub loop_device_timeout: Duration,
    /// Requests and outcomes that wait for the supervisor before their senders are slowed down.
    pub event_buffer_size: usize,
    /// Notifications kept for a client that reads slowly or comes back, before it has lost some.
    pub notification_buffer_size: usize,
    /// Most installs under way at a time.
    pub max_installs: NonZeroUsize,
    /// The repositories, in the order of the file.
    pub repositories: Vec<(RepositoryId, Repository)>,
    /// Debugging of containers.
    pub debug: Debug,
    /// Ids for containers with a user namespace.
    pub user_namespaces: UserNamespaces,
}

/// Ids of the host that belong to the user namespaces of containers: `count` ranges of [`UserNamespaces::SIZE`] ids each, the first
/// of which starts with `first_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserNamespaces {
    /// The first id of the first range.
    pub first_id: u32,
    /// How many ranges there are, and so how many containers with a user namespace run at a time.
    pub count: u32,
}

impl UserNamespaces {
    /// Ids of one container.
    pub const SIZE: u32 = 0x1_0000;
}

impl Default for UserNamespaces {
    /// Above what systemd gives to its containers (`0x0008_0000` to `0x6fff_ffff`), below its foreign ids
    /// (`0x7ffe_0000`).
    fn default() -> UserNamespaces {
        UserNamespaces {
            first_id: 0x7000_0000,
            count: 1024,
        }
    }
}

/// One address on which consoles are served, and to whom.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// Where.
    pub address: Address,
    /// What a client may do, unless one of `peers` fits it.
    pub permissions: Permissions,
    /// What certain users of the host may do; the first that fits decides. Unix sockets only.
    pub peers: Vec<Peer>,
    /// Limits for the listener as a whole.
    pub limits: ListenerOptions,
    /// Limits for each of its connections.
    pub options: ConnectionOptions,
}

/// An address of a console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// TCP without encryption: only addresses of the loopback interface.
    Tcp {
        /// An address, or a name that stands for loopback addresses.
        host: String,
        /// Port; 0 is any free one.
        port: u16,
    },
    /// TCP with TLS, for clients with certificates.
    Tls(Box<Tls>),
    /// A Unix stream socket.
    Unix {
        /// Absolute path of the socket.
        path: PathBuf,
        /// Permission bits of the socket, which say who may connect (unix(7)).
        mode: u32,
    },
}

/// Permissions of clients that run as a certain user or group. With both, both must fit.
#[derive(Clone, Debug, PartialEq)]
pub struct Peer {
    /// The client's effective user id.
    pub uid: Option<u32>,
    /// The client's effective group id.
    pub gid: Option<u32>,
    /// What it may do.
    pub permissions: Permissions,
}

/// Limits of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerOptions {
    /// Most connections that have completed `connect`.
    pub max_connections: usize,
    /// Most of them from one peer: an IP address, or a user id on a Unix socket.
    pub max_connections_per_peer: usize,
    /// Most connections that have not completed `connect`; one more ends the oldest of them.
    pub max_pending_connections: usize,
    /// Requests per second of all connections of one peer together; what comes faster is delayed. Unless it is given,
    /// five times that of a connection.
    pub max_requests_per_sec_per_peer: NonZeroU32,
}

impl Default for ListenerOptions {
    /// Together below the usual limit of 1024 descriptors.
    fn default() -> ListenerOptions {
        ListenerOptions {
            max_connections: 384,
            max_connections_per_peer: 256,
            max_pending_connections: 256,
            max_requests_per_sec_per_peer: NonZeroU32::MIN.saturating_add(4999),
        }
    }
}

/// The longest line that can be configured, in bytes.
pub const MAX_REQUEST_SIZE: usize = 8 * 1024 * 1024;

/// Limits of one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionOptions {
    /// Longest line that is accepted, in bytes without its end.
    pub max_request_size: usize,
    /// Requests per second; what comes faster is delayed. A pause is made up for by a burst of one second's worth.
    pub max_requests_per_sec: NonZeroU32,
    /// Largest package that may be installed, in bytes.
    pub max_npk_install_size: u64,
    /// Longest pause within the stream of an install.
    pub npk_stream_timeout: Duration,
    /// Slowest stream of an install in bytes per second, after a first `npk_stream_timeout`.
    pub npk_min_rate: NonZeroU32,
    /// How long a token can be verified.
    pub token_validity: Duration,
    /// How long a client may take to send `connect`. `None`: for ever.
    pub connect_timeout: Option<Duration>,
    /// How long a client that did not subscribe may be silent between two requests. `None`: for ever.
    pub idle_timeout: Option<Duration>,
    /// How long a client may take to send the rest of a line it has begun, or to read what was sent to it.
    pub stall_timeout: Duration,
}

impl Default for ConnectionOptions {
    fn default() -> ConnectionOptions {
        ConnectionOptions {
            max_request_size: 1024 * 1024,
            max_requests_per_sec: NonZeroU32::MIN.saturating_add(999),
            max_npk_install_size: 256 * 1024 * 1024,
            npk_stream_timeout: Duration::from_secs(10),
            npk_min_rate: NonZeroU32::MIN.saturating_add(16 * 1024 - 1),
            token_validity: Duration::from_secs(60),
            connect_timeout: Some(Duration::from_secs(10)),
            idle_timeout: Some(Duration::from_secs(600)),
            stall_timeout: Duration::from_secs(10),
        }
    }
}

impl ConnectionOptions {
    /// The defaults for containers. A container has exactly one connection, which it cannot replace and nobody else
    /// waits for: it may use it when it likes.
    pub fn for_containers() -> ConnectionOptions {
        ConnectionOptions {
            connect_timeout: None,
            idle_timeout: None,
            ..ConnectionOptions::default()
        }
    }
}

/// One repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// Where its packages are.
    pub storage: Storage,
    /// The public key that signs its packages. `None`: the packages are trusted as they are.
    pub key: Option<PathBuf>,
    /// How the bytes of an image are protected. Of no meaning without `key`.
    pub integrity: Integrity,
    /// What a missing bind source or group means for a start.
    pub missing: Missing,
    /// The packages are mounted when the daemon starts.
    pub mount_on_start: bool,
    /// Most packages. `None`: no limit.
    pub capacity_num: Option<u32>,
    /// Most bytes of all packages together. `None`: as much as the file system holds.
    pub capacity_size: Option<u64>,
    /// A `start` may carry init, arguments and environment.
    pub start_command: bool,
}

/// Where a repository keeps its packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In a directory.
    Fs {
        /// The directory.
        dir: PathBuf,
    },
    /// In memory: empty at each start of the daemon.
    Mem,
}

/// How a keyed repository's images are checked against their signed root hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Integrity {
    /// By the kernel, at each read of a block.
    #[default]
    DmVerity,
    /// Once, completely, before each mount. Changes after the mount are not noticed.
    FullRead,
}

/// What it means for a start if a bind source or a group does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missing {
    /// The start is refused.
    #[default]
    Refuse,
    /// The mount or group is left out, logged and listed in `inspect`.
    Skip,
}

/// Debugging of containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Debug {
    /// Attach strace to each started container.
    pub strace: Option<Strace>,
    /// Attach perf to each started container.
    pub perf: Option<Perf>,
    /// Commands run for each started container; `<PID>` and `<CONTAINER>` are replaced.
    pub commands: Vec<String>,
}

impl Debug {
    /// Nothing is configured.
    pub fn is_empty(&self) -> bool {
        self.strace.is_none() && self.perf.is_none() && self.commands.is_empty()
    }
}

/// How strace is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strace {
    /// Where its output goes.
    pub output: StraceOutput,
    /// More arguments.
    pub flags: Vec<String>,
    /// The program. `None`: `strace` as found in PATH.
    pub path: Option<PathBuf>,
    /// The runtime's own calls before `execve` are shown too.
    pub include_runtime: bool,
}

/// Where strace's output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StraceOutput {
    /// `log_dir/strace-<PID>-<name>.log`.
    File,
    /// The daemon's log.
    Log,
}

/// How perf is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Perf {
    /// The program. `None`: `perf` as found in PATH.
    pub path: Option<PathBuf>,
    /// More arguments.
    pub flags: Vec<String>,
}
