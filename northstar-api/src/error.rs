//! Why the server did not do something.

use serde::{Deserialize, Serialize};

use crate::{Container, ExitStatus, Name, RepositoryId};

/// Why the server did not do something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Error {
    /// The configuration does not allow it.
    #[error("configuration: {context}")]
    Configuration {
        /// What is wrong.
        context: String,
    },
    /// A container is there twice.
    #[error("container {container} is there already")]
    DuplicateContainer {
        /// The container.
        container: Container,
    },
    /// No such container is installed.
    #[error("there is no container {container}")]
    InvalidContainer {
        /// The container.
        container: Container,
    },
    /// The arguments of a request are not allowed.
    #[error("invalid arguments: {cause}")]
    InvalidArguments {
        /// What is wrong.
        cause: String,
    },
    /// The container is mounted already.
    #[error("container {container} is mounted already")]
    MountBusy {
        /// The container.
        container: Container,
    },
    /// The container is not mounted, runs, or is a resource in use.
    #[error("container {container} is in use or not mounted")]
    UmountBusy {
        /// The container, or the one that uses the resource.
        container: Container,
    },
    /// A version of the container runs.
    #[error("container {container} is running")]
    StartContainerStarted {
        /// The container that runs.
        container: Container,
    },
    /// A resource cannot be started.
    #[error("container {container} is a resource and cannot be started")]
    StartContainerResource {
        /// The resource.
        container: Container,
    },
    /// A resource that the container mounts is not installed.
    #[error(
        "container {container} needs the resource {resource} {version}, which is not installed"
    )]
    StartContainerMissingResource {
        /// The container.
        container: Container,
        /// Name of the resource.
        resource: Name,
        /// The versions that would do.
        version: String,
    },
    /// Set-up of the container or execution of its program failed.
    #[error("container {container} cannot be started: {error}")]
    StartContainerFailed {
        /// The container.
        container: Container,
        /// The step and the error.
        error: String,
        /// The step that failed. Extension `details`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<String>,
        /// The kernel's answer to it (errno(3)). Extension `details`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        errno: Option<i32>,
    },
    /// The container does not run.
    #[error("container {container} is not running")]
    StopContainerNotStarted {
        /// The container.
        container: Container,
    },
    /// No such repository.
    #[error("there is no repository {repository}")]
    InvalidRepository {
        /// The repository.
        repository: RepositoryId,
    },
    /// The container is in some repository already.
    #[error("container {container} is installed already")]
    InstallDuplicate {
        /// The container.
        container: Container,
    },
    /// A critical container ended.
    #[error("critical container {container} ended with {status}")]
    CriticalContainer {
        /// The container.
        container: Container,
        /// How it ended.
        status: ExitStatus,
    },
    /// Anything else.
    #[error("{error}")]
    Unexpected {
        /// What happened.
        error: String,
    },

    /// The daemon ends and takes no more work. Like all that follow: extension `details`.
    #[error("the daemon shuts down")]
    ShuttingDown {},
    /// The client has cancelled the request before this was done.
    #[error("cancelled")]
    Cancelled {},
    /// The image cannot be mounted.
    #[error("container {container} cannot be mounted: {error}")]
    MountFailed {
        /// The container.
        container: Container,
        /// Why.
        error: String,
    },
    /// The image cannot be unmounted.
    #[error("container {container} cannot be unmounted: {error}")]
    UmountFailed {
        /// The container.
        container: Container,
        /// Why.
        error: String,
    },
    /// The package is not acceptable: its signature, its form, its manifest or its image.
    #[error("the package is refused: {error}")]
    PackageRefused {
        /// Where it was to be installed.
        repository: RepositoryId,
        /// Why.
        error: String,
    },
    /// The repository has no room.
    #[error("{error}")]
    RepositoryFull {
        /// The repository.
        repository: RepositoryId,
        /// What is used up.
        error: String,
    },
    /// The package is larger than the connection may send.
    #[error("a package of {size} bytes is too large (at most {limit} bytes)")]
    InstallTooLarge {
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// As many installs as allowed are under way.
    #[error("{limit} installs are under way already")]
    TooManyInstalls {
        /// The limit.
        limit: u32,
    },
    /// The package cannot be stored.
    #[error("the package cannot be stored: {error}")]
    InstallFailed {
        /// The repository.
        repository: RepositoryId,
        /// Why.
        error: String,
    },
    /// The package cannot be removed.
    #[error("container {container} cannot be uninstalled: {error}")]
    UninstallFailed {
        /// The container.
        container: Container,
        /// Why.
        error: String,
    },
    /// The package is removed, its persistent data is not.
    #[error("container {container} is uninstalled, but its data cannot be wiped: {error}")]
    WipeFailed {
        /// The container.
        container: Container,
        /// Why.
        error: String,
    },
    /// There is no such signal.
    #[error("there is no signal {signal}")]
    InvalidSignal {
        /// The number.
        signal: i32,
    },
    /// The signal cannot be sent.
    #[error("signal {signal} does not reach container {container}: {error}")]
    KillFailed {
        /// The container.
        container: Container,
        /// The signal.
        signal: i32,
        /// Why.
        error: String,
    },
    /// A request names too many containers.
    #[error("{count} containers in one request, at most {limit}")]
    TooManyContainers {
        /// How many.
        count: u64,
        /// The limit.
        limit: u64,
    },
    /// A request with this id is under way.
    #[error("the id {id} is in use")]
    DuplicateId {
        /// The id.
        id: u64,
    },
    /// No request with this id is under way.
    #[error("no request with the id {id} is under way")]
    UnknownId {
        /// The id.
        id: u64,
    },
}
