//! What containers and repositories are and use, as a client is told.

use super::{
    Words,
    event::{exit, memory_events},
};
use crate::supervisor::{self, Inspection, Process, Protection, RepositoryFacts, Usage};
use northstar_api::{
    ContainerStatistics, InspectData, InspectResult, ProcessData, RepositoryDetails,
    RepositoryIntegrity, RepositoryKind,
};
use northstar_manifest::Container;
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

impl Words {
    /// The result of `inspect`.
    pub(in crate::console) fn inspected(
        self,
        container: Container,
        inspection: Inspection,
    ) -> InspectResult {
        InspectResult::Ok {
            container,
            data: Box::new(self.inspection(inspection)),
        }
    }

    /// The result of an `inspect` that failed.
    pub(in crate::console) fn not_inspected(
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
    pub(in crate::console) fn usage(self, usage: Usage) -> ContainerStatistics {
        ContainerStatistics {
            container: usage.container,
            mounted: usage.mounted,
            starts: usage.starts,
            process: usage.process.map(process),
        }
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
pub(in crate::console) fn repository(facts: &RepositoryFacts) -> RepositoryDetails {
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
