//! Between the protocol's words and the supervisor's: the only place that knows both.
//!
//! What a client of 0.9.2 cannot read is never sent to one that did not ask for details: a failure without a word of its
//! own becomes `unexpected`, events without one are left out, and `inspect` gives the manifest without the fields that
//! version does not know.

use super::agreed::Agreed;
use crate::{
    launch,
    repository::InstallError,
    supervisor::{
        self, Event, Exit, ExitReason, ExitStatus, Inspection, Lag, MemoryEvents, Numbered,
        Process, Protection, RepositoryFacts, Usage, report,
    },
};
use bytes::BytesMut;
use northstar_api::{
    self as api, CGroupNotification, ContainerResult, ContainerStatistics, Envelope, InspectData,
    InspectResult, Kind, MemoryNotification, Message, Notification, ProcessData, RepositoryDetails,
    RepositoryIntegrity, RepositoryKind, codec,
};
use northstar_manifest::Container;
use serde_json::{Value, json};
use std::{collections::BTreeMap, io, time::Duration};

/// A message as it goes over the wire.
pub(super) fn line(envelope: &Envelope) -> Result<BytesMut, codec::CodecError> {
    let mut line = BytesMut::new();
    codec::encode_envelope(envelope, &mut line)?;
    Ok(line)
}

/// What a filter calls an event.
pub(super) fn kind(event: &Event) -> Kind {
    match event {
        Event::Mounted(_) => Kind::Mounted,
        Event::Unmounted(_) => Kind::Umounted,
        Event::Started(_) => Kind::Started,
        Event::Exited(..) => Kind::Exit,
        Event::Installed(_) => Kind::Install,
        Event::Uninstalled(_) => Kind::Uninstall,
        Event::CgroupMemory(..) => Kind::CGroup,
        Event::Shutdown => Kind::Shutdown,
    }
}

/// The notification of an event, if the client is to get one.
pub(super) fn notification(numbered: Numbered, agreed: &Agreed) -> Option<Envelope> {
    let Numbered { number, event } = numbered;
    let wanted = |filter: &super::filter::EventFilter| filter.passes(&event);
    if !agreed.filter.as_ref().is_none_or(wanted) {
        return None;
    }
    let notification = match event {
        Event::Mounted(container) if agreed.details => Notification::Mounted(container),
        Event::Unmounted(container) if agreed.details => Notification::Umounted(container),
        Event::Mounted(_) | Event::Unmounted(_) => return None,
        Event::Started(container) => Notification::Started(container),
        Event::Exited(container, end) if agreed.details => Notification::Exit(container, exit(end)),
        Event::Exited(container, end) => {
            Notification::Exit(container, exit_status(end.status).into())
        }
        Event::Installed(container) => Notification::Install(container),
        Event::Uninstalled(container) => Notification::Uninstall(container),
        Event::CgroupMemory(container, memory) => {
            Notification::CGroup(container, CGroupNotification::Memory(memory_events(memory)))
        }
        Event::Shutdown => Notification::Shutdown,
    };
    Some(Envelope {
        id: None,
        sequence: agreed.sequence.then_some(number),
        message: notification.into(),
    })
}

/// What a client is told that has lost notifications.
pub(super) fn lagged(lag: Lag) -> Envelope {
    let Lag { missed, last } = lag;
    Envelope {
        id: None,
        sequence: Some(last),
        message: Message::Notification(Notification::Lagged { missed }),
    }
}

fn exit_status(status: ExitStatus) -> api::ExitStatus {
    match status {
        ExitStatus::Exit(code) => api::ExitStatus::Exit { code },
        ExitStatus::Signalled(signal) => api::ExitStatus::Signalled {
            signal: signal.unsigned_abs(),
        },
    }
}

fn exit(exit: Exit) -> api::Exit {
    let (reason, requested_signal) = match exit.reason {
        ExitReason::OwnExit => (api::ExitReason::OwnExit, None),
        ExitReason::OwnSignal => (api::ExitReason::OwnSignal, None),
        ExitReason::Requested(signal) => (api::ExitReason::KilledByRequest, Some(signal)),
        ExitReason::OutOfMemory => (api::ExitReason::OomKilled, None),
        ExitReason::Shutdown => (api::ExitReason::Shutdown, None),
        ExitReason::InitDied => (api::ExitReason::InitDied, None),
    };
    api::Exit {
        status: exit_status(exit.status),
        reason: Some(reason),
        requested_signal,
    }
}

fn memory_events(memory: MemoryEvents) -> MemoryNotification {
    MemoryNotification {
        low: memory.low,
        high: memory.high,
        max: memory.max,
        oom: memory.oom,
        oom_kill: memory.oom_kill,
    }
}

/// The words that a client knows. The default are those of 0.9.2.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Words {
    /// Those of the extension `details` too.
    pub details: bool,
}

impl Words {
    /// The error the client is told.
    pub(super) fn error(self, error: supervisor::Error) -> api::Error {
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
    pub(super) fn too_large(self, size: u64, limit: u64) -> api::Error {
        let error = api::Error::InstallTooLarge { size, limit };
        self.or_unexpected(error)
    }

    /// A package did not arrive.
    pub(super) fn not_received(self, repository: &str, error: String) -> api::Error {
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

    /// The results of a request on several containers.
    pub(super) fn results(
        self,
        outcomes: Vec<(Container, Result<(), supervisor::Error>)>,
    ) -> Vec<ContainerResult> {
        let each = |(container, outcome)| self.result(container, outcome);
        outcomes.into_iter().map(each).collect()
    }

    /// The result of a request on one container.
    pub(super) fn result(
        self,
        container: Container,
        outcome: Result<(), supervisor::Error>,
    ) -> ContainerResult {
        ContainerResult::new(container, outcome.map_err(|error| self.error(error)))
    }

    /// The result of `inspect`.
    pub(super) fn inspected(self, container: Container, inspection: Inspection) -> InspectResult {
        InspectResult::Ok {
            container,
            data: Box::new(self.inspection(inspection)),
        }
    }

    /// The result of an `inspect` that failed.
    pub(super) fn not_inspected(
        self,
        container: Container,
        failure: supervisor::Error,
    ) -> InspectResult {
        InspectResult::Error {
            container,
            error: self.error(failure),
        }
    }

    /// What `inspect` tells. Keys beyond those of 0.9.2 stand beside them, where that version skips what it does not
    /// know.
    fn inspection(self, inspection: Inspection) -> InspectData {
        let mut extra = BTreeMap::from([("integrity".to_owned(), integrity(inspection.integrity))]);
        if !inspection.skipped.is_empty() {
            extra.insert("skipped".to_owned(), json!(inspection.skipped));
        }
        let manifest = if self.details {
            extra.insert("state".to_owned(), json!(inspection.state.as_str()));
            extra.insert("starts".to_owned(), json!(inspection.starts));
            if let Some(end) = inspection.last_exit {
                extra.insert("last_exit".to_owned(), json!(exit(end)));
            }
            inspection.manifest.as_ref().clone()
        } else {
            let compatible = inspection.manifest.for_0_9_2();
            if !compatible.changed.is_empty() {
                extra.insert("manifest_changed".to_owned(), json!(compatible.changed));
            }
            compatible.manifest
        };
        InspectData {
            manifest,
            repository: inspection.repository.into(),
            mounted: inspection.mounted,
            process: inspection.process.map(process),
            extra,
        }
    }

    /// What one container uses.
    pub(super) fn usage(self, usage: Usage) -> ContainerStatistics {
        ContainerStatistics {
            container: usage.container,
            mounted: usage.mounted,
            starts: usage.starts,
            process: usage.process.map(process),
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

fn integrity(protection: Protection) -> Value {
    let (mode, protects) = match protection {
        Protection::None => ("none", "not: the repository has no key"),
        Protection::DmVerity => ("dm-verity", "at each read"),
        Protection::FullRead => ("full-read", "until the mount, not after it"),
    };
    json!({ "mode": mode, "protects": protects })
}

/// What a repository is.
pub(super) fn repository(facts: &RepositoryFacts) -> RepositoryDetails {
    RepositoryDetails {
        repository: facts.id.clone().into(),
        kind: match facts.in_memory {
            true => RepositoryKind::Mem,
            false => RepositoryKind::Fs,
        },
        keyed: facts.protection != Protection::None,
        integrity: match facts.protection {
            Protection::None => RepositoryIntegrity::None,
            Protection::DmVerity => RepositoryIntegrity::DmVerity,
            Protection::FullRead => RepositoryIntegrity::FullRead,
        },
    }
}

fn process(process: Process) -> ProcessData {
    let statistics = &process.statistics;
    let memory = &statistics.memory_events;
    let controllers = [
        ("cpu", json!({ "usage_us": statistics.cpu_usage_us })),
        (
            "memory",
            json!({
                "usage": statistics.memory_bytes,
                "peak": statistics.memory_peak_bytes,
                "events": memory_events(*memory),
            }),
        ),
        ("pids", json!({ "current": statistics.pids })),
    ];
    ProcessData {
        pid: process.pid,
        uptime: nanoseconds(process.uptime),
        statistics: controllers
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
        extra: BTreeMap::new(),
    }
}

/// 584 years fit.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::{Error, Gone, InvalidArguments};
    use std::{io, sync::Arc};

    /// Every failure that has no word of its own in the protocol, or comes with data that is easily mixed up.
    #[test]
    fn every_error_has_its_documented_shape() {
        let container: Container = "app:1.0.0".parse().unwrap();
        let other: Container = "user:2.0.0".parse().unwrap();
        let repository: crate::config::RepositoryId = "r".parse().unwrap();
        let context = "c".to_owned();
        let cause = InvalidArguments::EmptyInit;
        let status = ExitStatus::Signalled(11);
        let denied = || Arc::new(io::Error::from(io::ErrorKind::PermissionDenied));
        let c = || container.clone();
        let r = || repository.clone();
        let table = [
            (
                Error::Configuration { context },
                r#"{"configuration":{"context":"c"}}"#,
            ),
            (
                Error::DuplicateContainer { container: c() },
                r#"{"duplicate_container":{"container":"app:1.0.0"}}"#,
            ),
            (
                Error::InvalidContainer { container: c() },
                r#"{"invalid_container":{"container":"app:1.0.0"}}"#,
            ),
            (
                Error::InvalidArguments { cause },
                r#"{"invalid_arguments":{"cause":"init is empty"}}"#,
            ),
            (
                Error::MountBusy { container: c() },
                r#"{"mount_busy":{"container":"app:1.0.0"}}"#,
            ),
            (
                Error::UmountBusy { container: other },
                r#"{"umount_busy":{"container":"user:2.0.0"}}"#,
            ),
            (
                Error::StartContainerStarted { container: c() },
                r#"{"start_container_started":{"container":"app:1.0.0"}}"#,
            ),
            (
                Error::StartContainerResource { container: c() },
                r#"{"start_container_resource":{"container":"app:1.0.0"}}"#,
            ),
            (
                Error::StartContainerMissingResource {
                    container: c(),
                    resource: "lib".parse().unwrap(),
                    version: ">=1.2".parse().unwrap(),
                },
                r#"{"start_container_missing_resource":{"container":"app:1.0.0","resource":"lib","version":">=1.2"}}"#,
            ),
            (
                Error::StopContainerNotStarted { container: c() },
                r#"{"stop_container_not_started":{"container":"app:1.0.0"}}"#,
            ),
            (
                Error::InvalidRepository { repository: r() },
                r#"{"invalid_repository":{"repository":"r"}}"#,
            ),
            (
                Error::InstallDuplicate { container: c() },
                r#"{"install_duplicate":{"container":"app:1.0.0"}}"#,
            ),
            (
                Error::CriticalContainer {
                    container: c(),
                    status,
                },
                r#"{"critical_container":{"container":"app:1.0.0","status":{"signalled":{"signal":11}}}}"#,
            ),
            (
                Error::ShuttingDown,
                r#"{"unexpected":{"error":"the daemon shuts down"}}"#,
            ),
            (
                Error::Gone(Gone),
                r#"{"unexpected":{"error":"the supervisor has ended"}}"#,
            ),
            (
                Error::InstallAbandoned { repository: r() },
                r#"{"unexpected":{"error":"install into r: the upload was abandoned"}}"#,
            ),
            (
                Error::InvalidSignal { signal: 99 },
                r#"{"unexpected":{"error":"there is no signal 99"}}"#,
            ),
            (
                Error::Signal {
                    container: c(),
                    signal: 15,
                    source: denied(),
                },
                r#"{"unexpected":{"error":"signal 15 to app:1.0.0: permission denied"}}"#,
            ),
            (
                Error::Wipe {
                    container: c(),
                    source: denied(),
                },
                r#"{"unexpected":{"error":"app:1.0.0 is uninstalled, but its data could not be wiped: permission denied"}}"#,
            ),
        ];
        for (failure, expected) in table {
            let expected: Value = serde_json::from_str(expected).unwrap();
            assert_eq!(
                serde_json::to_value(Words::default().error(failure)).unwrap(),
                expected
            );
        }
    }
}
