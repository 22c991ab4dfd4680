//! A classic BPF machine as the kernel runs it for seccomp.

use crate::seccomp::{Arch, Program};

/// The part of `struct seccomp_data` a filter of ours may look at.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    pub number: u32,
    pub arch: u32,
    pub args: [u64; 6],
}

/// What the kernel does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Allow,
    Errno(u32),
    KillProcess,
}

pub const EPERM: Verdict = Verdict::Errno(1);
pub const ENOSYS: Verdict = Verdict::Errno(38);

/// `AUDIT_ARCH_*` of an architecture (`linux/audit.h`).
pub fn audit(arch: Arch) -> u32 {
    match arch {
        Arch::X86_64 => 0xc000_003e,
        Arch::Aarch64 => 0xc000_00b7,
    }
}

const ALLOW: u32 = 0x7fff_0000;

/// Runs all filters, the last installed first, and keeps the most restrictive
/// answer; of equals the first one seen (`seccomp_run_filters` in the kernel).
pub fn run(programs: &[Program], call: &Call) -> Verdict {
    let mut result = ALLOW;
    for program in programs.iter().rev() {
        let answer = run_one(program, call);
        if action(answer) < action(result) {
            result = answer;
        }
    }
    match result & 0xffff_0000 {
        ALLOW => Verdict::Allow,
        0x0005_0000 => Verdict::Errno(result & 0xffff),
        0x8000_0000 => Verdict::KillProcess,
        other => panic!("a filter answers {other:#x}"),
    }
}

/// Actions are ordered as signed numbers.
fn action(answer: u32) -> i32 {
    (answer & 0xffff_0000).cast_signed()
}

fn run_one(program: &Program, call: &Call) -> u32 {
    assert!(program.len() <= 4096, "{} instructions", program.len());
    let mut accumulator: u32 = 0;
    let mut counter = 0;
    loop {
        let instruction = program[counter];
        counter += 1;
        let branch = |taken: bool| {
            usize::from(if taken {
                instruction.jt
            } else {
                instruction.jf
            })
        };
        match instruction.code {
            0x20 => accumulator = load(call, instruction.k),
            0x54 => accumulator &= instruction.k,
            0x05 => counter += instruction.k as usize,
            0x15 => counter += branch(accumulator == instruction.k),
            0x25 => counter += branch(accumulator > instruction.k),
            0x35 => counter += branch(accumulator >= instruction.k),
            0x45 => counter += branch(accumulator & instruction.k != 0),
            0x06 => return instruction.k,
            other => panic!("instruction {other:#x} at {}", counter - 1),
        }
    }
}

fn load(call: &Call, offset: u32) -> u32 {
    assert_eq!(offset % 4, 0);
    match offset {
        0 => call.number,
        4 => call.arch,
        16..64 => {
            let argument = call.args[(offset as usize - 16) / 8];
            (if offset.is_multiple_of(8) {
                argument
            } else {
                argument >> 32
            }) as u32
        }
        other => panic!("load at {other}"),
    }
}
