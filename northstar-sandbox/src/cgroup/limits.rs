//! What both versions have in common: what a plan needs, and attributes.

use super::plan::{CgroupPlan, CpuPlan, IoPlan, MemoryPlan};
use super::{CgroupError, Controller, Hierarchy, file};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Refuses a plan whose limits need a controller this system does not have.
pub(super) fn check_available(hierarchy: &Hierarchy, plan: &CgroupPlan) -> Result<(), CgroupError> {
    for (controller, limit) in needed(plan) {
        if !hierarchy.has(controller) {
            return Err(CgroupError::NoController { controller, limit });
        }
    }
    Ok(())
}

/// The controllers a plan asks for, with a limit that needs each.
pub(super) fn needed(plan: &CgroupPlan) -> Vec<(Controller, &'static str)> {
    let rows = [
        (
            Controller::Memory,
            "cgroups.memory",
            plan.memory != MemoryPlan::default(),
        ),
        (Controller::Cpu, "cgroups.cpu", uses_cpu(&plan.cpu)),
        (
            Controller::Cpuset,
            "cgroups.cpu.cpus",
            uses_cpuset(&plan.cpu),
        ),
        (
            Controller::Io,
            "cgroups.blkio",
            plan.io != IoPlan::default(),
        ),
        (Controller::Pids, "cgroups.pids", plan.pids.is_some()),
        (
            Controller::Devices,
            "cgroups.devices",
            plan.devices.required,
        ),
    ];
    rows.into_iter()
        .filter(|(.., asked)| *asked)
        .map(|(controller, limit, _)| (controller, limit))
        .collect()
}

fn uses_cpu(plan: &CpuPlan) -> bool {
    plan.shares.is_some()
        || plan.quota.is_some()
        || plan.period.is_some()
        || plan.realtime_runtime.is_some()
        || plan.realtime_period.is_some()
        || plan
            .attributes
            .keys()
            .any(|name| !name.starts_with("cpuset."))
}

fn uses_cpuset(plan: &CpuPlan) -> bool {
    plan.cpus.is_some()
        || plan.mems.is_some()
        || plan
            .attributes
            .keys()
            .any(|name| name.starts_with("cpuset."))
}

/// Writes the files a manifest names itself.
///
/// Only files of the section's own controllers: nothing here may reach
/// `cgroup.procs`, `release_agent` or another controller.
pub(super) fn attributes(
    directory: &Path,
    prefixes: &[&str],
    attributes: &BTreeMap<String, String>,
) -> Result<(), CgroupError> {
    for (name, value) in attributes {
        let plain = name.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._".contains(&byte)
        });
        if !plain || !prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            return Err(CgroupError::Limit {
                limit: "attrs",
                value: name.clone(),
                reason: "not a file of this controller",
            });
        }
        file::write(directory, name, value)?;
        if is_readable(directory, name)? {
            file::verify(directory, name, value, |found| {
                same_value(name, value.trim(), found)
            })?;
        }
    }
    Ok(())
}

/// Some files only trigger something and cannot be read.
fn is_readable(directory: &Path, name: &str) -> Result<bool, CgroupError> {
    let file = directory.join(name);
    match file.metadata() {
        Ok(metadata) => Ok(metadata.permissions().mode() & 0o444 != 0),
        Err(source) => Err(CgroupError::Read { file, source }),
    }
}

/// Whether a file that was given `value` may show `found`: the same words, the
/// same words as one line of many, or a byte limit rounded down to a page.
fn same_value(name: &str, value: &str, found: &str) -> bool {
    let bytes = || {
        value
            .parse()
            .is_ok_and(|value| file::is_bytes(value)(found))
    };
    found == value
        || file::has_line(value.to_owned())(found)
        || name.starts_with("memory.") && bytes()
}

/// Whether two lists of numbers and ranges (`0-2,7`) name the same ones.
pub(super) fn same_list(expected: &str, found: &str) -> bool {
    match (expand(expected), expand(found)) {
        (Some(expected), Some(found)) => expected == found,
        _ => false,
    }
}

/// Refuses a list that the kernel takes and that names nothing: version 1 would let no process in,
/// version 2 would take it for no limit at all.
pub(super) fn names_some(limit: &'static str, list: Option<&str>) -> Result<(), CgroupError> {
    match list {
        Some(list) if expand(list).is_some_and(|ranges| ranges.is_empty()) => {
            Err(CgroupError::Limit {
                limit,
                value: list.to_owned(),
                reason: "names none",
            })
        }
        _ => Ok(()),
    }
}

/// The ranges of a list, sorted and joined.
fn expand(list: &str) -> Option<Vec<(u32, u32)>> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    let parts = list.split(',').map(str::trim);
    for part in parts.filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        ranges.push((first, last));
    }
    ranges.sort_unstable();
    let mut joined: Vec<(u32, u32)> = Vec::new();
    for (first, last) in ranges {
        match joined.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => joined.push((first, last)),
        }
    }
    Some(joined)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn lists_compare_by_their_members() {
        for (left, right, same) in [
            ("0-1", "0,1", true),
            ("0,2-3,1", "0-3", true),
            ("0-1\n", "0-1", true),
            ("0", "0-1", false),
            ("", "", true),
            ("", "0", false),
            ("x", "x", false),
        ] {
            assert_eq!(same_list(left, right), same, "{left:?} {right:?}");
        }
    }

    #[test]
    fn a_list_that_names_nothing_is_refused() {
        for (list, refused) in [("", true), (",", true), (" , , ", true), ("0", false)] {
            match names_some("cpus", Some(list)) {
                Err(CgroupError::Limit {
                    limit: "cpus",
                    value,
                    ..
                }) if refused => assert_eq!(value, list),
                result => result.unwrap(),
            }
        }
        names_some("mems", None).unwrap();
    }

    #[test]
    fn attributes_stay_in_their_controller() {
        let directory = tempfile::tempdir().unwrap();
        for name in [
            "cgroup.procs",
            "release_agent",
            "notify_on_release",
            "tasks",
            "memory./../tasks",
            "cpu.shares",
            "",
        ] {
            let map = BTreeMap::from([(name.to_owned(), "1".to_owned())]);
            match attributes(directory.path(), &["memory."], &map) {
                Err(CgroupError::Limit { value, .. }) => assert_eq!(value, name),
                other => panic!("{name}: {other:?}"),
            }
        }
        fs::write(directory.path().join("memory.high"), "").unwrap();
        let map = BTreeMap::from([("memory.high".to_owned(), "1".to_owned())]);
        attributes(directory.path(), &["memory."], &map).unwrap();
        assert_eq!(
            fs::read_to_string(directory.path().join("memory.high")).unwrap(),
            "1"
        );
    }

    #[test]
    fn values_compare_as_the_kernel_shows_them() {
        for (name, value, found, same) in [
            ("io.max", "8:0 rbps=1", "7:0 rbps=2\n8:0 rbps=1", true),
            ("memory.high", "10000000", "9998336", true),
            ("cpu.idle", "10", "9", false),
            ("cpu.max", "1000 100000", "1000 100000", true),
        ] {
            assert_eq!(same_value(name, value, found), same, "{name}");
        }
    }

    #[test]
    fn a_limit_without_its_controller_is_an_error() {
        let none = Hierarchy {
            unified: None,
            unified_controllers: Default::default(),
            v1: Default::default(),
            held: Default::default(),
        };
        check_available(&none, &CgroupPlan::default()).unwrap();
        let plans = [
            (
                Controller::Memory,
                CgroupPlan {
                    memory: MemoryPlan {
                        hard_limit: Some(1),
                        ..Default::default()
                    },
                    ..Default::default()
                },
            ),
            (
                Controller::Cpu,
                CgroupPlan {
                    cpu: CpuPlan {
                        shares: Some(2),
                        ..Default::default()
                    },
                    ..Default::default()
                },
            ),
            (
                Controller::Cpuset,
                CgroupPlan {
                    cpu: CpuPlan {
                        cpus: Some("0".to_owned()),
                        ..Default::default()
                    },
                    ..Default::default()
                },
            ),
            (
                Controller::Io,
                CgroupPlan {
                    io: IoPlan {
                        weight: Some(100),
                        ..Default::default()
                    },
                    ..Default::default()
                },
            ),
            (
                Controller::Pids,
                CgroupPlan {
                    pids: Some(7),
                    ..Default::default()
                },
            ),
        ];
        for (expected, plan) in plans {
            match check_available(&none, &plan) {
                Err(CgroupError::NoController { controller, .. }) => {
                    assert_eq!(controller, expected)
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
