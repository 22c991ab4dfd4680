//! Which devices a container may open: denied unless allowed.
//!
//! Version 1 has a controller that takes rules. Version 2 runs an eBPF program
//! of the group for every access (kernel documentation, `cgroup-v2.rst`,
//! "Device controller"); it is generated from the same rules.

use super::{CgroupError, file};
use cgroups_rs::fs::devices::{DevicePermissions, DeviceType, DevicesController};
use northstar_sys::bpf::{self, Instruction};
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
    let program = compile(&resolve(rules)?);
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

// Operations of eBPF (kernel documentation, `bpf/standardization`).
const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xbf;
const MOVE_CONSTANT: u8 = 0xb7;
const AND_CONSTANT: u8 = 0x57;
const SHIFT_RIGHT: u8 = 0x77;
const JUMP_NOT_EQUAL: u8 = 0x55;
const EXIT: u8 = 0x95;

// What the registers hold.
const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// `BPF_DEVCG_DEV_*` (`linux/bpf.h`).
const BLOCK: i32 = 1;
const CHAR: i32 = 2;

/// All access bits.
const ANY_ACCESS: i32 = 7;

/// Makes a program that answers 1 if a rule covers the access, else 0.
///
/// The kernel passes `struct bpf_cgroup_dev_ctx`: access in the upper and kind
/// in the lower half of the first word, then major and minor number.
fn compile(devices: &BTreeMap<Device, Access>) -> Vec<Instruction> {
    let mut program = vec![
        Instruction::new(LOAD_WORD, KIND, CONTEXT, 0, 0),
        Instruction::new(MOVE, ACCESS, KIND, 0, 0),
        Instruction::new(SHIFT_RIGHT, ACCESS, 0, 0, 16),
        Instruction::new(AND_CONSTANT, KIND, 0, 0, 0xffff),
        Instruction::new(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        Instruction::new(LOAD_WORD, MINOR, CONTEXT, 8, 0),
    ];
    for (device, access) in devices {
        program.extend(compile_rule(device, *access));
    }
    program.push(Instruction::new(MOVE_CONSTANT, RESULT, 0, 0, 0));
    program.push(Instruction::new(EXIT, 0, 0, 0, 0));
    program
}

/// Answers 1 if the rule covers the access, else goes on behind the rule.
fn compile_rule(device: &Device, access: Access) -> Vec<Instruction> {
    // A rule has at most four comparisons, two preparations, and the answer.
    let mut checks: Vec<(Vec<Instruction>, u8, i32)> = Vec::new();
    checks.push((Vec::new(), KIND, if device.block { BLOCK } else { CHAR }));
    if access.bits() != ANY_ACCESS {
        let outside = vec![
            Instruction::new(MOVE, RESULT, ACCESS, 0, 0),
            Instruction::new(AND_CONSTANT, RESULT, 0, 0, ANY_ACCESS & !access.bits()),
        ];
        checks.push((outside, RESULT, 0));
    }
    for (register, number) in [(MAJOR, device.major), (MINOR, device.minor)] {
        if let Some(number) = number.and_then(|number| i32::try_from(number).ok()) {
            checks.push((Vec::new(), register, number));
        }
    }

    let allow = [
        Instruction::new(MOVE_CONSTANT, RESULT, 0, 0, 1),
        Instruction::new(EXIT, 0, 0, 0, 0),
    ];
    // From the end to the start, as each jump leads behind what follows it.
    let mut rule: Vec<Instruction> = allow.into_iter().rev().collect();
    for (preparation, register, expected) in checks.into_iter().rev() {
        let distance = i16::try_from(rule.len()).unwrap_or(i16::MAX);
        rule.push(Instruction::new(
            JUMP_NOT_EQUAL,
            register,
            0,
            distance,
            expected,
        ));
        rule.extend(preparation.into_iter().rev());
    }
    rule.reverse();
    rule
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a program on one access, as the kernel would.
    fn run(program: &[Instruction], access: u32, kind: u32, major: u32, minor: u32) -> bool {
        let mut registers = [0u64; 11];
        let context = [access << 16 | kind, major, minor];
        let mut counter = 0usize;
        loop {
            let instruction = program[counter];
            counter += 1;
            let (destination, source) = (
                usize::from(instruction.destination()),
                usize::from(instruction.source()),
            );
            let constant = i64::from(instruction.constant).cast_unsigned();
            match instruction.code {
                LOAD_WORD => {
                    registers[destination] = u64::from(context[instruction.offset as usize / 4])
                }
                MOVE => registers[destination] = registers[source],
                MOVE_CONSTANT => registers[destination] = constant,
                AND_CONSTANT => registers[destination] &= constant,
                SHIFT_RIGHT => registers[destination] >>= constant,
                JUMP_NOT_EQUAL if registers[destination] != constant => {
                    counter += instruction.offset as usize
                }
                JUMP_NOT_EQUAL => {}
                EXIT => return registers[0] == 1,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    fn rule(kind: DeviceKind, major: Option<u32>, minor: Option<u32>, letters: &str) -> DeviceRule {
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

    /// Whether the rules allow an access, straight from their meaning.
    fn allowed(rules: &[DeviceRule], access: u32, kind: u32, major: u32, minor: u32) -> bool {
        // Every bit has to be allowed by one and the same rule after merging
        // rules of the same device.
        resolve(rules).unwrap().iter().any(|(device, granted)| {
            device.block == (kind == 1)
                && device.major.is_none_or(|number| number == major)
                && device.minor.is_none_or(|number| number == minor)
                && (access & 1 == 0 || granted.mknod)
                && (access & 2 == 0 || granted.read)
                && (access & 4 == 0 || granted.write)
        })
    }

    #[test]
    fn the_program_decides_as_the_rules_say() {
        let sets = [
            vec![],
            vec![rule(DeviceKind::Block, Some(7), Some(0), "r")],
            vec![rule(DeviceKind::All, None, None, "rwm")],
            vec![
                rule(DeviceKind::Char, Some(10), None, "rw"),
                rule(DeviceKind::Char, Some(10), None, "m"),
            ],
            vec![
                rule(DeviceKind::Block, None, Some(3), "w"),
                rule(DeviceKind::Block, Some(8), None, "rm"),
            ],
            vec![rule(
                DeviceKind::Char,
                Some(MAX_MAJOR),
                Some(MAX_MINOR),
                "rwm",
            )],
        ];
        for rules in sets {
            let program = compile(&resolve(&rules).unwrap());
            for kind in [1, 2] {
                for access in 0..8 {
                    for major in [0, 1, 5, 7, 8, 10, 136, MAX_MAJOR] {
                        for minor in [0, 1, 2, 3, 5, 9, MAX_MINOR] {
                            assert_eq!(
                                run(&program, access, kind, major, minor),
                                allowed(&rules, access, kind, major, minor),
                                "{rules:?}: access {access} kind {kind} {major}:{minor}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn without_rules_only_harmless_devices_are_allowed() {
        let program = compile(&resolve(&[]).unwrap());
        for (kind, major, minor, access, expected) in [
            (2, 1, 3, 6, true),
            (2, 1, 9, 2, true),
            (2, 136, 77, 6, true),
            (2, 1, 1, 2, false),    // mem
            (2, 1, 2, 2, false),    // kmem
            (2, 1, 4, 2, false),    // port
            (2, 1, 11, 2, false),   // kmsg
            (2, 1, 3, 1, false),    // a new node for null
            (2, 5, 1, 2, false),    // console
            (2, 10, 200, 2, false), // tun
            (1, 1, 3, 2, false),
            (1, 8, 0, 2, false),
            (1, 7, 0, 6, false),
        ] {
            assert_eq!(
                run(&program, access, kind, major, minor),
                expected,
                "{kind} {major}:{minor} {access}"
            );
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
