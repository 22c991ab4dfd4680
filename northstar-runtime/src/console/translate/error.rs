//! What failed, as a client is told.

use super::{Words, event::exit_status};
use crate::{
    launch,
    repository::InstallError,
    supervisor::{self, report},
};
use northstar_api as api;
use std::io;

impl Words {
    /// The error the client is told.
    pub(in crate::console) fn error(self, error: supervisor::Error) -> api::Error {
        use supervisor::Error;
        match error {
            Error::Configuration { context } => api::Error::Configuration { context },
            Error::DuplicateContainer { container } => api::Error::DuplicateContainer { container },
            Error::InvalidContainer { container } => api::Error::InvalidContainer { container },
            Error::InvalidArguments { cause } => api::Error::InvalidArguments {
                cause: cause.to_string(),
            },
            Error::MountBusy { container } => api::Error::MountBusy { container },
            Error::UmountBusy { container } => api::Error::UmountBusy { container },
            Error::StartContainerStarted { container } => {
                api::Error::StartContainerStarted { container }
            }
            Error::StartContainerResource { container } => {
                api::Error::StartContainerResource { container }
            }
            Error::StartContainerMissingResource {
                container,
                resource,
                version,
            } => api::Error::StartContainerMissingResource {
                container,
                resource,
                version: version.to_string(),
            },
            Error::StartContainerFailed { container, source } => {
                let details = self.details.then_some(source.as_ref());
                api::Error::StartContainerFailed {
                    container,
                    error: report(source.as_ref()),
                    step: details.and_then(step),
                    errno: details.and_then(|error| errno(error)),
                }
            }
            Error::StopContainerNotStarted { container } => {
                api::Error::StopContainerNotStarted { container }
            }
            Error::InvalidRepository { repository } => api::Error::InvalidRepository {
                repository: repository.into(),
            },
            Error::InstallDuplicate { container } => api::Error::InstallDuplicate { container },
            Error::CriticalContainer { container, status } => api::Error::CriticalContainer {
                container,
                status: exit_status(status),
            },
            other if self.details => detailed(other),
            // 0.9.2 has no word for these.
            other => api::Error::Unexpected {
                error: other.report(),
            },
        }
    }

    /// A package is larger than the connection may send.
    pub(in crate::console) fn too_large(self, size: u64, limit: u64) -> api::Error {
        let error = api::Error::InstallTooLarge { size, limit };
        self.or_unexpected(error)
    }

    /// A package did not arrive.
    pub(in crate::console) fn not_received(self, repository: &str, error: String) -> api::Error {
        if self.details {
            let repository = repository.to_owned();
            api::Error::InstallFailed { repository, error }
        } else {
            api::Error::Unexpected { error }
        }
    }

    fn or_unexpected(self, error: api::Error) -> api::Error {
        if self.details {
            error
        } else {
            let error = error.to_string();
            api::Error::Unexpected { error }
        }
    }
}

/// The words for what 0.9.2 has none for.
fn detailed(error: supervisor::Error) -> api::Error {
    use supervisor::Error;
    match error {
        Error::ShuttingDown | Error::Gone(_) => api::Error::ShuttingDown {},
        Error::Cancelled => api::Error::Cancelled {},
        Error::TooManyInstalls { limit } => api::Error::TooManyInstalls {
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
        },
        Error::Mount { container, source } => api::Error::MountFailed {
            container,
            error: report(source.as_ref()),
        },
        Error::Unmount { container, source } => api::Error::UmountFailed {
            container,
            error: report(source.as_ref()),
        },
        Error::Install { repository, source } => install_error(repository.into(), &source),
        Error::InstallAbandoned { repository } => api::Error::InstallFailed {
            error: "the upload was abandoned".to_owned(),
            repository: repository.into(),
        },
        Error::Remove { container, source } => api::Error::UninstallFailed {
            container,
            error: report(source.as_ref()),
        },
        Error::Wipe { container, source } => api::Error::WipeFailed {
            container,
            error: report(source.as_ref()),
        },
        Error::InvalidSignal { signal } => api::Error::InvalidSignal { signal },
        Error::Signal {
            container,
            signal,
            source,
        } => api::Error::KillFailed {
            container,
            signal,
            error: report(source.as_ref()),
        },
        other => api::Error::Unexpected {
            error: other.report(),
        },
    }
}

/// Whose fault it is that a package is not installed.
fn install_error(repository: String, source: &InstallError) -> api::Error {
    let error = report(source);
    match source {
        InstallError::Package(_)
        | InstallError::Image(_)
        | InstallError::TooLong { .. }
        | InstallError::TooShort { .. } => api::Error::PackageRefused { repository, error },
        InstallError::TooManyPackages { .. }
        | InstallError::Capacity { .. }
        | InstallError::NoSpace { .. } => api::Error::RepositoryFull { repository, error },
        _ => api::Error::InstallFailed { repository, error },
    }
}

/// The answer of the kernel that is at the bottom of an error.
fn errno(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    let mut next = Some(error);
    let mut found = None;
    while let Some(error) = next {
        let here = match error.downcast_ref::<launch::Error>() {
            Some(launch::Error::Step(step)) => Some(step.errno),
            _ => error
                .downcast_ref::<io::Error>()
                .and_then(io::Error::raw_os_error),
        };
        found = here.or(found);
        next = error.source();
    }
    found
}

/// Which step of a start has failed, where that is told.
fn step(error: &launch::Error) -> Option<String> {
    match error {
        launch::Error::Step(step) => Some(step.step.to_string()),
        launch::Error::Mount { .. } => Some("mount of an image".to_owned()),
        launch::Error::BindSource { .. } => Some("bind source".to_owned()),
        launch::Error::UnknownGroup { .. } | launch::Error::Group { .. } => {
            Some("group".to_owned())
        }
        launch::Error::Network { .. } | launch::Error::NotANamespace { .. } => {
            Some("network namespace".to_owned())
        }
        launch::Error::Persist { .. } => Some("persistent directory".to_owned()),
        launch::Error::Seccomp(_) | launch::Error::SeccompArchitecture => {
            Some("seccomp".to_owned())
        }
        launch::Error::Cgroup(_) => Some("cgroup".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
