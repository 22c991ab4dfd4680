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
        Event::Exited(container, status) => Notification::Exit(container, exit_status(status)),
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
