//! Why the server did not do something.

use serde::{Deserialize, Serialize};

use crate::{Container, ExitStatus, Name, RepositoryId};

/// Why the server did not do something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
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
}
