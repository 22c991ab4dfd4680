//! From an allow-list to programs.

use super::arch::Arch;
use super::capability::addition;
use super::condition::{Conditional, compile_rule};
use super::profile::{CONDITIONAL, GROUPS};
use super::{Profile, Program, SeccompError, SeccompSpec, SockFilter};
use seccompiler::{BackendError, BpfProgram, SeccompAction, SeccompFilter, SeccompRule};
use std::collections::BTreeMap;

/// Calls every filter allows, because they run after it is in place: `execve`
/// of the payload, `write` and `close` to report that `execve` failed, and the
/// exit after that; `rt_sigreturn` ends a signal handler. A manifest cannot
/// narrow them.
pub const AFTER_FILTER: &[&str] = &["execve", "write", "close", "exit_group", "rt_sigreturn"];

/// Calls that install a filter. Where a list needs several programs, only the
/// last one may restrict them: the others would block what follows.
const INSTALL: &[&str] = &["seccomp", "prctl"];

/// Answers `ENOSYS` where it is denied, as its flags cannot be looked at and
/// libc takes `EPERM` for a failure instead of falling back.
const FALL_BACK: &str = "clone3";

/// `MAX_INSNS_PER_PATH` of the kernel: over all filters of a process.
const MAX_INSTRUCTIONS: usize = 32_768;

/// `BPF_MAXINSNS` of the kernel: in one filter.
const MAX_PROGRAM: usize = 4096;

/// What the kernel adds for each filter when it counts against the limit.
const OVERHEAD_PER_FILTER: usize = 4;

/// For which arguments a listed call is allowed: any, or one rule must match.
#[derive(Debug, Clone)]
enum Entry {
    Any,
    When(Vec<SeccompRule>),
}

/// The calls allowed, by number.
type List = BTreeMap<i64, Entry>;

/// Compiles a container's list for an architecture.
///
/// Usually one program; more where the conditions do not fit into one. They
/// are to be installed in order.
///
/// # Errors
///
/// A name no supported architecture knows, a rule outside its limits, or a
/// list that is too large for the kernel. A name that only another supported
/// architecture has is left out.
pub fn compile(spec: &SeccompSpec, arch: Arch) -> Result<Vec<Program>, SeccompError> {
    let mut list = List::new();
    for call in AFTER_FILTER {
        add(&mut list, arch, call, None)?;
    }
    if let Some(Profile::Default) = spec.profile {
        add_profile(&mut list, arch)?;
        for addition in spec.capabilities.iter().copied().filter_map(addition) {
            add_calls(&mut list, arch, addition.calls)?;
            add_conditional(&mut list, arch, addition.conditional)?;
        }
    }
    for (call, rule) in &spec.allow {
        add(&mut list, arch, call, compile_rule(call, rule)?)?;
    }

    let conditional = list
        .iter()
        .filter(|(_, entry)| matches!(entry, Entry::When(_)))
        .map(|(number, _)| *number)
        .collect();
    let programs = split(&list, conditional, arch, true)?;
    let instructions = programs
        .iter()
        .map(|program| program.len() + OVERHEAD_PER_FILTER)
        .sum();
    if instructions > MAX_INSTRUCTIONS {
        return Err(SeccompError::TooLarge {
            instructions,
            limit: MAX_INSTRUCTIONS,
        });
    }
    Ok(programs)
}

fn add_profile(list: &mut List, arch: Arch) -> Result<(), SeccompError> {
    for group in GROUPS {
        add_calls(list, arch, group.calls)?;
    }
    add_conditional(list, arch, CONDITIONAL)
}

fn add_calls(list: &mut List, arch: Arch, calls: &str) -> Result<(), SeccompError> {
    calls
        .split_whitespace()
        .try_for_each(|call| add(list, arch, call, None))
}

fn add_conditional(list: &mut List, arch: Arch, rows: &[Conditional]) -> Result<(), SeccompError> {
    rows.iter()
        .try_for_each(|row| add(list, arch, row.call, Some(row.compile()?)))
}

/// Adds one call; rules for the same call accumulate, `None` allows any
/// arguments and wins.
fn add(
    list: &mut List,
    arch: Arch,
    call: &str,
    rules: Option<Vec<SeccompRule>>,
) -> Result<(), SeccompError> {
    let Some(number) = arch.number(call) else {
        if Arch::any_knows(call) {
            return Ok(());
        }
        return Err(SeccompError::UnknownCall {
            call: call.to_owned(),
        });
    };
    let entry = list
        .entry(number)
        .or_insert_with(|| Entry::When(Vec::new()));
    match (entry, rules) {
        (Entry::Any, _) => {}
        (entry, None) => *entry = Entry::Any,
        (Entry::When(known), Some(more)) => known.extend(more),
    }
    Ok(())
}

/// Compiles a list with the conditions of the calls in `conditional`, as many
/// programs as it takes.
///
/// A program that leaves a condition to another one allows that call: the
/// kernel runs every program and takes the most restrictive answer, so a call
/// passes only if the program with its condition lets it pass. All programs
/// answer the same errno for the same call, so it does not matter whose answer
/// the kernel picks.
fn split(
    list: &List,
    conditional: Vec<i64>,
    arch: Arch,
    last: bool,
) -> Result<Vec<Program>, SeccompError> {
    match program(list, &conditional, arch, last) {
        Err(SeccompError::Compiler(BackendError::FilterTooLarge(_))) if conditional.len() > 1 => {
            let (installing, mut head): (Vec<i64>, Vec<i64>) = conditional
                .iter()
                .partition(|number| installs(**number, arch));
            let mut tail = head.split_off(head.len().div_ceil(2));
            if head.is_empty() {
                return program(list, &conditional, arch, last).map(|program| vec![program]);
            }
            tail.extend(installing);
            let mut programs = split(list, head, arch, false)?;
            programs.extend(split(list, tail, arch, last)?);
            Ok(programs)
        }
        result => Ok(vec![result?]),
    }
}

fn installs(number: i64, arch: Arch) -> bool {
    INSTALL.iter().any(|call| arch.number(call) == Some(number))
}

/// Compiles one program; `last` says that no other is installed after it.
fn program(
    list: &List,
    conditional: &[i64],
    arch: Arch,
    last: bool,
) -> Result<Program, SeccompError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for (number, entry) in list {
        let chain = match entry {
            Entry::When(chain) if conditional.contains(number) => chain.clone(),
            _ => Vec::new(),
        };
        rules.insert(*number, chain);
    }
    if !last {
        for number in INSTALL.iter().filter_map(|call| arch.number(call)) {
            rules.insert(number, Vec::new());
        }
    }
    let filter = SeccompFilter::new(rules, DENIED, SeccompAction::Allow, arch.target())?;
    let program = finish(BpfProgram::try_from(filter)?, list, arch);
    if program.len() > MAX_PROGRAM {
        return Err(BackendError::FilterTooLarge(program.len()).into());
    }
    Ok(program)
}

/// What the compiler writes for a denied call; [`finish`] replaces it.
const DENIED: SeccompAction = SeccompAction::Errno(EPERM);

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

const RET_ERRNO: u32 = 0x0005_0000;

// Operations of classic BPF (linux/bpf_common.h).
const LOAD_WORD: u16 = 0x20;
const JUMP: u16 = 0x05;
const JUMP_GREATER: u16 = 0x25;
const JUMP_GREATER_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;

/// Offset of the call's number in `struct seccomp_data`.
const NUMBER_OFFSET: u32 = 0;

/// Makes a compiled allow-list tell known calls from unknown ones.
///
/// The compiler knows one answer to everything that does not match. Each place
/// that gives it becomes a jump to a common tail, which answers `EPERM` to the
/// numbers that are calls and `ENOSYS` to all others.
fn finish(program: BpfProgram, list: &List, arch: Arch) -> Program {
    let length = program.len();
    let mut result: Program = Vec::with_capacity(length);
    for (index, instruction) in program.into_iter().enumerate() {
        let denied = instruction.code == RETURN && instruction.k == RET_ERRNO | EPERM;
        // At least one instruction of the tail follows, and a program has at
        // most 4096, so the distance fits.
        let distance = u32::try_from(length - index - 1);
        result.push(match (denied, distance) {
            (true, Ok(distance)) => operation(JUMP, distance),
            _ => SockFilter {
                code: instruction.code,
                jt: instruction.jt,
                jf: instruction.jf,
                k: instruction.k,
            },
        });
    }
    result.extend(tail(list, arch));
    result
}

/// Answers `EPERM` to known numbers and `ENOSYS` to others.
fn tail(list: &List, arch: Arch) -> Program {
    let fall_back = arch
        .number(FALL_BACK)
        .filter(|number| !list.contains_key(number));
    let known = arch
        .numbers()
        .into_iter()
        .filter(|number| Some(*number) != fall_back);

    let mut tail = vec![operation(LOAD_WORD, NUMBER_OFFSET)];
    for (first, last) in ranges(known) {
        // Below the range: neither it nor a later one can match.
        tail.push(SockFilter {
            code: JUMP_GREATER_EQUAL,
            jt: 1,
            jf: 0,
            k: first,
        });
        tail.push(operation(RETURN, RET_ERRNO | ENOSYS));
        tail.push(SockFilter {
            code: JUMP_GREATER,
            jt: 1,
            jf: 0,
            k: last,
        });
        tail.push(operation(RETURN, RET_ERRNO | EPERM));
    }
    tail.push(operation(RETURN, RET_ERRNO | ENOSYS));
    tail
}

const fn operation(code: u16, k: u32) -> SockFilter {
    SockFilter {
        code,
        jt: 0,
        jf: 0,
        k,
    }
}

/// The ascending numbers as ranges without gaps.
fn ranges(numbers: impl Iterator<Item = i64>) -> Vec<(u32, u32)> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers.filter_map(|number| u32::try_from(number).ok()) {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    ranges
}
