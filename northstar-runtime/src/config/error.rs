//! What can be wrong with a configuration. Every message names the key and what is allowed.

use super::{
    InvalidRepositoryId,
    tls::{FileError, InvalidSubject},
};
use std::{io, path::PathBuf, time::Duration};

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The text is no TOML, has an unknown key or a value of the wrong type. The source says where.
    #[error("the configuration is malformed")]
    Syntax(#[from] toml::de::Error),
    /// A value is not allowed.
    #[error("the configuration's {key} is not usable")]
    Value {
        /// The key with its path, like `console[0].options.max_request_size`.
        key: String,
        /// What is wrong with it and what is allowed.
        #[source]
        source: ValueError,
    },
    /// A file of a console over TLS is not usable.
    #[error("the configuration's console[{index}] cannot be served")]
    Credentials {
        /// Position in the list `console`.
        index: usize,
        /// The key, the file and what is wrong with it.
        #[source]
        source: FileError,
    },
}

/// What is wrong with one value.
#[derive(Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// Not a duration.
    #[error("{text:?} is no duration (allowed: a number with ms, s, m, h or d, like \"5s\")")]
    Duration {
        /// What is written.
        text: String,
        /// Why.
        #[source]
        source: humantime::DurationError,
    },
    /// A duration that is too short or too long.
    #[error("{text:?} is out of range (allowed: {} to {})", humantime::format_duration(*min), humantime::format_duration(*max))]
    DurationRange {
        /// What is written.
        text: String,
        /// Shortest.
        min: Duration,
        /// Longest.
        max: Duration,
    },
    /// Not a size.
    #[error(
        "{text:?} is no size (allowed: a number with B, kB, KiB, MB, MiB, GB or GiB, like \"1MiB\")"
    )]
    Size {
        /// What is written.
        text: String,
    },
    /// A size that is too small or too large.
    #[error("{text:?} is out of range (allowed: {min} to {max} bytes)")]
    SizeRange {
        /// What is written.
        text: String,
        /// Fewest bytes.
        min: u64,
        /// Most bytes.
        max: u64,
    },
    /// A number that is too small or too large.
    #[error("{value} is out of range (allowed: {min} to {max})")]
    NumberRange {
        /// What is written.
        value: u64,
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// A path that cannot be one.
    #[error("{path:?} is no path (allowed: one or more bytes, none of them NUL)")]
    Path {
        /// What is written.
        path: PathBuf,
    },
    /// A cgroup that is not below the root of the cgroups.
    #[error("{path:?} is no name of a cgroup (allowed: a relative path without \".\" and \"..\")")]
    Cgroup {
        /// What is written.
        path: PathBuf,
    },
    /// A URL of another kind.
    #[error(
        "{url:?} is no console URL (allowed: tcp://HOST:PORT, tls://HOST:PORT and unix:///PATH)"
    )]
    Scheme {
        /// What is written.
        url: String,
    },
    /// A TCP or TLS URL without host or port, or with more than these.
    #[error(
        "{url:?} does not name a host and a port (allowed: SCHEME://HOST:PORT and nothing more)"
    )]
    HostPort {
        /// What is written.
        url: String,
    },
    /// A Unix URL without an absolute path.
    #[error("{url:?} has no absolute path (allowed: unix:///PATH)")]
    SocketPath {
        /// What is written.
        url: String,
    },
    /// A path that a Unix socket cannot have.
    #[error("the path of {url:?} is too long for a socket ({bytes} bytes, at most {max})")]
    SocketPathLength {
        /// What is written.
        url: String,
        /// Length of the path in bytes.
        bytes: usize,
        /// What fits into `sun_path` (unix(7)).
        max: usize,
    },
    /// An unencrypted console on the network.
    #[error(
        "{host} is not an address of this machine alone: a TCP console is allowed on loopback only (127.0.0.0/8, [::1], localhost); use tls:// elsewhere"
    )]
    NotLoopback {
        /// The host.
        host: String,
    },
    /// A TLS console without its certificate, key or the authority of its clients.
    #[error("a tls:// console needs this file")]
    TlsFile,
    /// A key that has no meaning here.
    #[error("is for {scheme} consoles only")]
    OtherScheme {
        /// Where it has one.
        scheme: &'static str,
    },
    /// A limit of listeners where there is no listener.
    #[error("a container has one console: there is no such limit for it")]
    NotForContainers,
    /// No permission bits.
    #[error("{text:?} is no mode (allowed: an octal number from \"0\" to \"0777\")")]
    Mode {
        /// What is written.
        text: String,
    },
    /// A peer that fits everybody.
    #[error("a peer needs a uid or a gid, or a subject on a tls:// console")]
    PeerWithoutId,
    /// No name of a certificate.
    #[error(transparent)]
    Subject(#[from] InvalidSubject),
    /// A TLS console that lets nobody in.
    #[error("a tls:// console needs `peers` that say which subject of a certificate may do what")]
    NoSubjects,
    /// No name of a repository.
    #[error(transparent)]
    RepositoryId(#[from] InvalidRepositoryId),
    /// The same thing twice.
    #[error("is the same as {of}")]
    Duplicate {
        /// The key that has it too.
        of: String,
    },
    /// An empty command.
    #[error("a command has at least one word")]
    EmptyCommand,
}
