//! Which devices a container may open: denied unless allowed.
//!
//! Version 1 has a controller that takes rules. Version 2 runs an eBPF program
//! of the group for every access (kernel documentation, `cgroup-v2.rst`,
//! "Device controller"); it is generated from the same rules.

mod program;

use super::{CgroupError, file};
use cgroups_rs::fs::devices::{DevicePermissions, DeviceType, DevicesController};
use northstar_sys::bpf;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

/// Kind of a device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviceKind {
    /// Block and character devices.
    All,
    /// Block devices.
    Block,
    /// Character devices.
    Char,
}

/// What may be done with a device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Access {
    /// Open it for reading.
    pub read: bool,
    /// Open it for writing.
    pub write: bool,
    /// Create a node for it.
    pub mknod: bool,
}

impl Access {
    /// Read and write.
    pub const READ_WRITE: Access = Access {
        read: true,
        write: true,
        mknod: false,
    };
    /// Everything.
    pub const ALL: Access = Access {
        read: true,
        write: true,
        mknod: true,
    };

    fn union(self, other: Access) -> Access {
        Access {
            read: self.read || other.read,
            write: self.write || other.write,
            mknod: self.mknod || other.mknod,
        }
    }

    /// `BPF_DEVCG_ACC_*` (`linux/bpf.h`).
    fn bits(self) -> i32 {
        i32::from(self.mknod) | i32::from(self.read) << 1 | i32::from(self.write) << 2
    }
}

/// Devices that may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceRule {
    /// Block, character or both.
    pub kind: DeviceKind,
    /// Major number; `None` is any.
    pub major: Option<u32>,
    /// Minor number; `None` is any.
    pub minor: Option<u32>,
    /// What may be done with them.
    pub access: Access,
}

const fn character(major: u32, minor: Option<u32>) -> DeviceRule {
    DeviceRule {
        kind: DeviceKind::Char,
        major: Some(major),
        minor,
        access: Access::READ_WRITE,
    }
}

/// Devices every container may use: those in its own `/dev`. None of them
/// gives access to anything of the host.
pub const ALWAYS_ALLOWED: &[DeviceRule] = &[
    character(1, Some(3)), // null
    character(1, Some(5)), // zero
    character(1, Some(7)), // full
    character(1, Some(8)), // random
    character(1, Some(9)), // urandom
    character(5, Some(0)), // tty: the caller's own terminal, which a container has none of
    character(5, Some(2)), // ptmx
    character(136, None),  // pseudo-terminals of the container's own devpts
];

/// Largest numbers a device has on Linux: 12 and 20 bits.
const MAX_MAJOR: u32 = (1 << 12) - 1;
const MAX_MINOR: u32 = (1 << 20) - 1;

/// A block or character device, or a class of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Device {
    block: bool,
    major: Option<u32>,
    minor: Option<u32>,
}

impl fmt::Display for Device {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number: Option<u32>| {
            number.map_or_else(|| "*".to_owned(), |number| number.to_string())
        };
        let kind = if self.block { 'b' } else { 'c' };
        write!(
            formatter,
            "{kind} {}:{}",
            number(self.major),
            number(self.minor)
        )
    }
}

/// The rules with what is always allowed, each device once.
fn resolve(rules: &[DeviceRule]) -> Result<BTreeMap<Device, Access>, CgroupError> {
    let mut devices: BTreeMap<Device, Access> = BTreeMap::new();
    for rule in ALWAYS_ALLOWED.iter().chain(rules) {
        let blocks: &[bool] = match rule.kind {
            DeviceKind::All => &[true, false],
            DeviceKind::Block => &[true],
            DeviceKind::Char => &[false],
        };
        for block in blocks.iter().copied() {
            let device = Device {
                block,
                major: rule.major,
                minor: rule.minor,
            };
            let reason = if rule.access == Access::default() {
                "allows nothing"
            } else if rule.major.is_some_and(|major| major > MAX_MAJOR) {
                "the major number is too large"
            } else if rule.minor.is_some_and(|minor| minor > MAX_MINOR) {
                "the minor number is too large"
            } else {
                let access = devices.entry(device).or_default();
                *access = access.union(rule.access);
                continue;
            };
            return Err(CgroupError::Limit {
                limit: "devices",
                value: device.to_string(),
                reason,
            });
        }
    }
    Ok(devices)
}

/// Restricts a group of version 1.
pub(super) fn apply_v1(directory: &Path, rules: &[DeviceRule]) -> Result<(), CgroupError> {
    let controller = DevicesController::new(directory.to_owned(), directory.to_owned());
    // A group starts with its parent's permissions.
    let nothing = || controller.deny_device(DeviceType::All, -1, -1, &DevicePermissions::all());
    file::call(directory, "devices.deny", "a *:* rwm", nothing)?;

    let devices = resolve(rules)?;
    let number = |number: Option<u32>| number.map_or(-1, i64::from);
    for (device, access) in &devices {
        let kind = if device.block {
            DeviceType::Block
        } else {
            DeviceType::Char
        };
        let permissions = permissions(*access);
        let set = || {
            controller.allow_device(
                kind,
                number(device.major),
                number(device.minor),
                &permissions,
            )
        };
        file::call(directory, "devices.allow", &v1_line(device, *access), set)?;
    }

    let expected: BTreeSet<String> = devices
        .iter()
        .map(|(device, access)| v1_line(device, *access))
        .collect();
    let value = expected.iter().cloned().collect::<Vec<_>>().join("\n");
    file::verify(directory, "devices.list", &value, |found| {
        found.lines().map(str::to_owned).collect::<BTreeSet<_>>() == expected
    })
}

fn permissions(access: Access) -> Vec<DevicePermissions> {
    let all = [
        (access.read, DevicePermissions::Read),
        (access.write, DevicePermissions::Write),
        (access.mknod, DevicePermissions::MkNod),
    ];
    all.into_iter()
        .filter_map(|(allowed, permission)| allowed.then_some(permission))
        .collect()
}

/// A line of `devices.list`.
fn v1_line(device: &Device, access: Access) -> String {
    let letters = [(access.read, 'r'), (access.write, 'w'), (access.mknod, 'm')];
    let letters: String = letters
        .into_iter()
        .filter_map(|(allowed, letter)| allowed.then_some(letter))
        .collect();
    format!("{device} {letters}")
}

/// Restricts a group of version 2.
pub(super) fn apply_v2(directory: &Path, rules: &[DeviceRule]) -> Result<(), CgroupError> {
    let program = program::compile(&resolve(rules)?);
    let attach = || -> Result<bool, std::io::Error> {
        let group = File::open(directory)?;
        let program = bpf::load_cgroup_device(&program)?;
        bpf::attach_cgroup_device(group.as_fd(), program.as_fd())?;
        Ok(bpf::count_cgroup_device(group.as_fd())? == 1)
    };
    match attach() {
        Ok(true) => Ok(()),
        Ok(false) => Err(CgroupError::Mismatch {
            file: directory.to_owned(),
            value: "one device program".to_owned(),
            found: "another number of device programs".to_owned(),
        }),
        Err(source) => Err(CgroupError::Devices {
            path: directory.to_owned(),
            source,
        }),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A rule with its access in letters.
    pub(in crate::cgroup) fn rule(
        kind: DeviceKind,
        major: Option<u32>,
        minor: Option<u32>,
        letters: &str,
    ) -> DeviceRule {
        let access = Access {
            read: letters.contains('r'),
            write: letters.contains('w'),
            mknod: letters.contains('m'),
        };
        DeviceRule {
            kind,
            major,
            minor,
            access,
        }
    }

    #[test]
    fn rules_outside_the_numbers_are_refused() {
        for (bad, reason) in [
            (
                rule(DeviceKind::Char, Some(MAX_MAJOR + 1), None, "r"),
                "the major number is too large",
            ),
            (
                rule(DeviceKind::Char, None, Some(MAX_MINOR + 1), "r"),
                "the minor number is too large",
            ),
            (
                rule(DeviceKind::Char, Some(1), Some(1), ""),
                "allows nothing",
            ),
        ] {
            match resolve(&[bad]) {
                Err(CgroupError::Limit { reason: found, .. }) => assert_eq!(found, reason),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn rules_of_one_device_are_merged() {
        let rules = [
            rule(DeviceKind::Char, Some(1), Some(3), "m"),
            rule(DeviceKind::All, Some(8), None, "r"),
        ];
        let lines: Vec<String> = resolve(&rules)
            .unwrap()
            .iter()
            .map(|(device, access)| v1_line(device, *access))
            .collect();
        assert!(lines.contains(&"c 1:3 rwm".to_owned()), "{lines:?}");
        assert!(lines.contains(&"b 8:* r".to_owned()), "{lines:?}");
        assert!(lines.contains(&"c 8:* r".to_owned()), "{lines:?}");
    }
}
