//! The eBPF program that decides about devices on version 2.

use super::{Access, Device};
use northstar_sys::bpf::Instruction;
use std::collections::BTreeMap;

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
pub(super) fn compile(devices: &BTreeMap<Device, Access>) -> Vec<Instruction> {
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
    use crate::cgroup::devices::tests::rule;
    use crate::cgroup::devices::{DeviceKind, DeviceRule, MAX_MAJOR, MAX_MINOR, resolve};

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
}
