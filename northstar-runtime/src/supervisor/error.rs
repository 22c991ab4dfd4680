//! Why the supervisor refused a request or failed to do it.
//!
//! The first group are the errors of the console protocol, one variant each. The second group is what the protocol
//! has no word for: it reaches a client as `unexpected` with the text of [`Error::report`].

use crate::{
    repository::{InstallError, RemoveError, RepositoryId},
    storage::{MountError, UnmountError},
    supervisor::ExitStatus,
};
use northstar_manifest::{Container, Name, VersionReq};
use std::sync::Arc;

/// A refused or failed request. Cheap to clone: one failure may answer several requests.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The configuration does not allow what was asked.
    #[error("configuration: {context}")]
    Configuration {
        /// What the configuration says.
        context: String,
    },
    /// The name and version exist already.
    #[error("{container} exists more than once")]
    DuplicateContainer {
        /// The container.
        container: Container,
    },
    /// No repository has this container.
    #[error("{container} is not installed")]
    InvalidContainer {
        /// The container asked for.
        container: Container,
    },
    /// The arguments or the environment of a start are not acceptable.
    #[error("invalid arguments: {cause}")]
    InvalidArguments {
        /// Which rule they break.
        cause: InvalidArguments,
    },
    /// The container is mounted already.
    #[error("{container} is mounted already")]
    MountBusy {
        /// The container asked for.
        container: Container,
    },
    /// The container is not mounted or is in use by `container`, which is the container itself or, of a resource, its
    /// user.
    #[error("cannot be unmounted: {container} is not mounted or in use")]
    UmountBusy {
        /// The container asked for, or the running user of the resource asked for.
        container: Container,
    },
    /// A version of this name runs already.
    #[error("{container} runs already")]
    StartContainerStarted {
        /// The version that runs.
        container: Container,
    },
    /// A resource has nothing to start.
    #[error("{container} is a resource")]
    StartContainerResource {
        /// The resource.
        container: Container,
    },
    /// No installed version of a resource matches.
    #[error("{container} needs the resource {resource} {version}, which is not installed")]
    StartContainerMissingResource {
        /// The container to be started.
        container: Container,
        /// Name of the resource.
        resource: Name,
        /// The versions that would do.
        version: VersionReq,
    },
    /// A step of the start failed; everything done for it was undone.
    #[error("start of {container} failed")]
    StartContainerFailed {
        /// The container to be started.
        container: Container,
        /// The step and the reason.
        #[source]
        source: Arc<crate::launch::Error>,
    },
    /// The container does not run.
    #[error("{container} is not started")]
    StopContainerNotStarted {
        /// The container asked for.
        container: Container,
    },
    /// There is no such repository.
    #[error("no repository {repository}")]
    InvalidRepository {
        /// The repository asked for.
        repository: RepositoryId,
    },
    /// A repository has this name and version already.
    #[error("{container} is installed already")]
    InstallDuplicate {
        /// The container in the package.
        container: Container,
    },
    /// A container marked as critical failed or ended.
    #[error("critical container {container} ended with {status}")]
    CriticalContainer {
        /// The container.
        container: Container,
        /// How it ended.
        status: ExitStatus,
    },

    /// The daemon shuts down and takes no more work.
    #[error("the daemon shuts down")]
    ShuttingDown,
    /// Whoever asked for it does not want it any more.
    #[error("cancelled")]
    Cancelled,
    /// As many installs as allowed are under way.
    #[error("{limit} installs are under way already")]
    TooManyInstalls {
        /// How many may be.
        limit: usize,
    },
    /// The supervisor does not answer any more.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// The image could not be mounted.
    #[error("mount of {container} failed")]
    Mount {
        /// The container.
        container: Container,
        /// Why.
        #[source]
        source: Arc<MountError>,
    },
    /// The image could not be unmounted.
    #[error("umount of {container} failed")]
    Unmount {
        /// The container.
        container: Container,
        /// Why.
        #[source]
        source: Arc<UnmountError>,
    },
    /// The package was refused or could not be stored.
    #[error("install into {repository} failed")]
    Install {
        /// The repository asked for.
        repository: RepositoryId,
        /// Why.
        #[source]
        source: Arc<InstallError>,
    },
    /// The upload ended before all bytes were there.
    #[error("install into {repository}: the upload was abandoned")]
    InstallAbandoned {
        /// The repository asked for.
        repository: RepositoryId,
    },
    /// The package could not be removed.
    #[error("uninstall of {container} failed")]
    Remove {
        /// The container.
        container: Container,
        /// Why.
        #[source]
        source: Arc<RemoveError>,
    },
    /// The package is removed, but not its persistent data.
    #[error("{container} is uninstalled, but its data could not be wiped")]
    Wipe {
        /// The container.
        container: Container,
        /// Why.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// There is no signal with this number.
    #[error("there is no signal {signal}")]
    InvalidSignal {
        /// The number asked for.
        signal: i32,
    },
    /// The signal did not reach the container.
    #[error("signal {signal} to {container}")]
    Signal {
        /// The container.
        container: Container,
        /// The signal.
        signal: i32,
        /// Why.
        #[source]
        source: Arc<std::io::Error>,
    },
}

impl Error {
    /// The error and all its sources in one line.
    pub fn report(&self) -> String {
        report(self)
    }
}

/// The supervisor's task has ended: the daemon is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the supervisor has ended")]
pub struct Gone;

/// The rule that a start's arguments, environment or init break.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidArguments {
    /// More than [`crate::supervisor::MAX_ARGUMENTS`] arguments.
    #[error("{count} arguments are too many (at most {limit})")]
    TooMany {
        /// How many there are.
        count: usize,
        /// How many may be.
        limit: usize,
    },
    /// Init, arguments and environment together are longer than [`crate::supervisor::MAX_ARGUMENT_BYTES`].
    #[error("{bytes} bytes of arguments are too many (at most {limit})")]
    TooLong {
        /// Their length in bytes.
        bytes: usize,
        /// How long they may be.
        limit: usize,
    },
    /// More than [`crate::supervisor::MAX_ENVIRONMENT`] variables.
    #[error("{count} environment variables are too many (at most {limit})")]
    TooManyVariables {
        /// How many there are.
        count: usize,
        /// How many may be.
        limit: usize,
    },
    /// A string holds a NUL byte, which no program can receive.
    #[error("NUL byte in {0:?}")]
    Nul(String),
    /// A variable name is empty, too long or holds `=`.
    #[error("{0:?} is not a name of an environment variable")]
    VariableName(String),
    /// A variable's value is too long.
    #[error("the value of {name} has {bytes} bytes (at most {limit})")]
    VariableValue {
        /// The variable.
        name: String,
        /// Its length in bytes.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// The runtime sets this variable itself.
    #[error("the environment variable {0} is reserved")]
    Reserved(String),
    /// Init is the empty string.
    #[error("init is empty")]
    EmptyInit,
    /// The repository says `start_command = false`.
    #[error(
        "the repository {0} does not allow to start its containers with init, arguments or environment"
    )]
    Forbidden(RepositoryId),
}

/// An error and its sources, joined by `: `.
pub(crate) fn report(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        // `transparent` wrappers repeat their source's words.
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = error.source();
    }
    text
}
