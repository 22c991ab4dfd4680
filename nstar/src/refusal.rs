//! What the daemon did not do, and to which container.

use std::fmt;

use northstar_api::{Container, Error};

/// The daemon's refusal of a request on one container.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The container that the request was about. The error may name another.
    pub target: Container,
    pub error: Error,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal { target, error } = self;
        match error {
            Error::UmountBusy { container } if container == target => {
                write!(f, "{target} is running or not mounted")
            }
            Error::UmountBusy { container } => write!(f, "{target}: in use by {container}"),
            error if subject(error) == Some(target) => error.fmt(f),
            error => write!(f, "{target}: {error}"),
        }
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    /// Whether the container cannot be unmounted because of what it does itself.
    pub fn is_about_itself(&self) -> bool {
        matches!(&self.error, Error::UmountBusy { container } if *container == self.target)
    }
}

/// The container that the text of an error names.
fn subject(error: &Error) -> Option<&Container> {
    match error {
        Error::DuplicateContainer { container }
        | Error::InvalidContainer { container }
        | Error::MountBusy { container }
        | Error::UmountBusy { container }
        | Error::StartContainerStarted { container }
        | Error::StartContainerResource { container }
        | Error::StartContainerMissingResource { container, .. }
        | Error::StartContainerFailed { container, .. }
        | Error::StopContainerNotStarted { container }
        | Error::InstallDuplicate { container }
        | Error::CriticalContainer { container, .. } => Some(container),
        _ => None,
    }
}

/// What was wrong with a package, without the word that it was refused.
pub fn of_package(error: &Error) -> String {
    match error {
        Error::PackageRefused { error, .. } => error.clone(),
        error => error.to_string(),
    }
}

/// What to try next after an error, about a container if there was one.
pub fn hint(target: Option<&Container>, error: &Error) -> Option<String> {
    let hint = match error {
        Error::InvalidContainer { .. } => {
            "`nstar list` shows what is installed; NAME alone takes the newest version".to_owned()
        }
        Error::StartContainerStarted { container } => {
            format!("`nstar stop {container}` first: one version of a name runs at a time")
        }
        Error::StartContainerResource { .. } => {
            "containers that mount it can be started".to_owned()
        }
        Error::StartContainerMissingResource {
            resource, version, ..
        } => format!("`nstar install` a version of {resource} that {version} takes"),
        Error::StartContainerFailed { .. } => {
            "the step and the errno are the kernel's words; the daemon's log has the rest"
                .to_owned()
        }
        Error::StopContainerNotStarted { .. } => "`nstar list` shows which versions run".to_owned(),
        Error::UmountBusy { container } if target == Some(container) => {
            format!("`nstar list` shows what it does; `nstar stop {container}` if it runs")
        }
        Error::UmountBusy { container } => format!("`nstar stop {container}` first"),
        Error::InvalidRepository { .. } => "`nstar repositories` lists them".to_owned(),
        Error::MountBusy { container } => {
            format!("there is nothing to do, or `nstar umount {container}` first")
        }
        Error::InvalidSignal { .. } => "`kill -l` lists the signals".to_owned(),
        Error::Cancelled {} => "what was done until then stays: `nstar list` tells".to_owned(),
        Error::ShuttingDown {} => "ask again when the daemon is back".to_owned(),
        Error::InvalidArguments { .. } => {
            "`nstar start --help` says how a program, arguments and variables are written"
                .to_owned()
        }
        Error::MountFailed { .. } | Error::UmountFailed { .. } => {
            "the daemon's log has the rest".to_owned()
        }
        Error::WipeFailed { .. } | Error::UninstallFailed { .. } => {
            "the daemon's log has the rest; the disk may be full or read-only".to_owned()
        }
        _ => return None,
    };
    Some(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `unexpected` says all there is, and the three that no request of nstar is answered with need none.
    #[test]
    fn every_error_about_a_container_has_a_next_step() {
        let target: Container = "a:0.0.1".parse().unwrap();
        let c = || target.clone();
        let text = || "text".to_owned();
        let errors = [
            Error::InvalidContainer { container: c() },
            Error::InvalidArguments { cause: text() },
            Error::MountBusy { container: c() },
            Error::UmountBusy { container: c() },
            Error::StartContainerStarted { container: c() },
            Error::StartContainerResource { container: c() },
            Error::StartContainerMissingResource {
                container: c(),
                resource: "lib".parse().unwrap(),
                version: ">=1".to_owned(),
            },
            Error::StartContainerFailed {
                container: c(),
                error: text(),
                step: None,
                errno: None,
            },
            Error::StopContainerNotStarted { container: c() },
            Error::InvalidRepository { repository: text() },
            Error::MountFailed {
                container: c(),
                error: text(),
            },
            Error::UmountFailed {
                container: c(),
                error: text(),
            },
            Error::UninstallFailed {
                container: c(),
                error: text(),
            },
            Error::WipeFailed {
                container: c(),
                error: text(),
            },
            Error::InvalidSignal { signal: 99 },
            Error::ShuttingDown {},
            Error::Cancelled {},
        ];
        for error in errors {
            let hint = hint(Some(&target), &error);
            assert!(hint.is_some_and(|hint| !hint.is_empty()), "{error:?}");
        }
    }

    #[test]
    fn every_refusal_names_its_target() {
        let target: Container = "a:0.0.1".parse().unwrap();
        let other: Container = "b:0.0.1".parse().unwrap();
        let cases = [
            (
                Error::MountBusy {
                    container: target.clone(),
                },
                "container a:0.0.1 is mounted already",
            ),
            (
                Error::StartContainerStarted {
                    container: other.clone(),
                },
                "a:0.0.1: container b:0.0.1 is running",
            ),
            (
                Error::UmountBusy { container: other },
                "a:0.0.1: in use by b:0.0.1",
            ),
            (
                Error::UmountBusy {
                    container: target.clone(),
                },
                "a:0.0.1 is running or not mounted",
            ),
            (
                Error::Unexpected {
                    error: "no memory".to_owned(),
                },
                "a:0.0.1: no memory",
            ),
        ];
        for (error, expected) in cases {
            let target = target.clone();
            assert_eq!(Refusal { target, error }.to_string(), expected);
        }
    }
}
