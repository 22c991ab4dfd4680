//! Between the protocol's words and the supervisor's: the only place that knows both.
//!
//! What a client of 0.9.2 cannot read is never sent: a failure without a word of its own becomes `unexpected`, and
//! `inspect` gives the manifest without the fields that version does not know.

use crate::supervisor::{
    self, Event, ExitStatus, Inspection, MemoryEvents, Process, Protection, report,
};
use bytes::BytesMut;
use northstar_api::{
    self as api, CGroupNotification, ContainerResult, InspectData, InspectResult,
    MemoryNotification, Message, Notification, ProcessData, codec,
};
use northstar_manifest::Container;
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

/// A message as it goes over the wire.
pub(super) fn line(message: &Message) -> Result<BytesMut, codec::CodecError> {
    let mut line = BytesMut::new();
    codec::encode(message, &mut line)?;
    Ok(line)
}

/// The notification of an event.
pub(super) fn notification(event: Event) -> Message {
    Message::Notification(match event {
        Event::Started(container) => Notification::Started(container),
        Event::Exited(container, status) => {
            Notification::Exit(container, exit_status(status).into())
        }
        Event::Installed(container) => Notification::Install(container),
        Event::Uninstalled(container) => Notification::Uninstall(container),
        Event::CgroupMemory(container, memory) => {
            Notification::CGroup(container, CGroupNotification::Memory(memory_events(memory)))
        }
        Event::Shutdown => Notification::Shutdown,
    })
}

fn exit_status(status: ExitStatus) -> api::ExitStatus {
    match status {
        ExitStatus::Exit(code) => api::ExitStatus::Exit { code },
        ExitStatus::Signalled(signal) => api::ExitStatus::Signalled {
            signal: signal.unsigned_abs(),
        },
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

/// The error the client is told.
pub(super) fn error(error: supervisor::Error) -> api::Error {
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
        Error::StartContainerFailed { container, source } => api::Error::StartContainerFailed {
            container,
            error: report(source.as_ref()),
            step: None,
            errno: None,
        },
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
        // The protocol has no word for these.
        other @ (Error::ShuttingDown
        | Error::Gone(_)
        | Error::Mount { .. }
        | Error::Unmount { .. }
        | Error::Install { .. }
        | Error::InstallAbandoned { .. }
        | Error::Remove { .. }
        | Error::Wipe { .. }
        | Error::InvalidSignal { .. }
        | Error::Signal { .. }) => api::Error::Unexpected {
            error: other.report(),
        },
    }
}

/// The results of a request on several containers.
pub(super) fn results(
    outcomes: Vec<(Container, Result<(), supervisor::Error>)>,
) -> Vec<ContainerResult> {
    let each = |(container, outcome)| result(container, outcome);
    outcomes.into_iter().map(each).collect()
}

/// The result of a request on one container.
pub(super) fn result(
    container: Container,
    outcome: Result<(), supervisor::Error>,
) -> ContainerResult {
    ContainerResult::new(container, outcome.map_err(error))
}

/// The result of `inspect`.
pub(super) fn inspect_result(
    container: Container,
    outcome: Result<Inspection, supervisor::Error>,
) -> InspectResult {
    match outcome {
        Ok(inspected) => InspectResult::Ok {
            container,
            data: Box::new(inspection(inspected)),
        },
        Err(failure) => InspectResult::Error {
            container,
            error: error(failure),
        },
    }
}

/// What `inspect` tells. Keys beyond those of 0.9.2 stand beside them, where that version skips what it does not
/// know.
fn inspection(inspection: Inspection) -> InspectData {
    let compatible = inspection.manifest.for_0_9_2();
    let mut extra = BTreeMap::from([("integrity".to_owned(), integrity(inspection.integrity))]);
    if !inspection.skipped.is_empty() {
        extra.insert("skipped".to_owned(), json!(inspection.skipped));
    }
    if !compatible.changed.is_empty() {
        extra.insert("manifest_changed".to_owned(), json!(compatible.changed));
    }
    InspectData {
        manifest: compatible.manifest,
        repository: inspection.repository.into(),
        mounted: inspection.mounted,
        process: inspection.process.map(process),
        extra,
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
            assert_eq!(serde_json::to_value(error(failure)).unwrap(), expected);
        }
    }
}
