//! What strace(1) prints: with or without process ids, times, instruction pointers and decoded
//! descriptors, in one file or in one for each process.

use std::collections::{BTreeMap, BTreeSet};

use super::{Arch, LineError, table, values};

/// A system call.
#[derive(Debug, PartialEq, Eq)]
pub struct Call {
    pub name: &'static str,
    /// The texts of its arguments, as far as they were printed.
    pub arguments: Option<Vec<String>>,
}

/// What a line is.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// It tells of these calls.
    Calls(Vec<Call>),
    /// It is of strace, but of no call, or of one that does not count.
    Nothing,
    /// It is not of strace, as the output of the program.
    Foreign,
}

/// The process of a line; those of a file without process ids are one.
type Pid = Option<u32>;

/// What has to be remembered between lines.
#[derive(Debug)]
pub struct State<'a> {
    /// The program whose execution is waited for.
    program: Option<&'a str>,
    /// Whether it has been executed.
    is_running: bool,
    /// Processes that were there before, and have not executed it.
    outside: BTreeSet<Pid>,
    /// Calls that another process has interrupted on the paper.
    unfinished: BTreeMap<Pid, (&'static str, String)>,
}

impl<'a> State<'a> {
    pub fn new(program: Option<&'a str>) -> State<'a> {
        State {
            program,
            is_running: program.is_none(),
            outside: BTreeSet::new(),
            unfinished: BTreeMap::new(),
        }
    }

    /// Whether the program has been executed, if one is waited for.
    pub fn has_program(&self) -> bool {
        self.is_running
    }

    /// Takes a line.
    pub fn line(&mut self, line: &str, arch: Arch) -> Result<Line, LineError> {
        let (pid, text) = strip(line);
        if text.is_empty() || text.starts_with("+++ ") || text.starts_with("--- ") {
            return Ok(Line::Nothing);
        }
        if let Some(abi) = foreign_abi(text) {
            return Err(LineError::ForeignAbi {
                abi: abi.to_owned(),
            });
        }
        let is_remark = ["strace: ", "[ Process ", "> ", "???"]
            .iter()
            .any(|start| text.starts_with(start));
        if is_remark {
            return Ok(Line::Nothing);
        }
        if let Some(rest) = text.strip_prefix("<... ") {
            return Ok(self.resumed(pid, rest));
        }
        let Some((name, rest)) = split_name(text) else {
            return Ok(Line::Foreign);
        };
        let name = name_of(name, arch)?;
        match rest.find("<unfinished ...>") {
            Some(end) => {
                let so_far = rest.get(..end).unwrap_or_default().to_owned();
                self.unfinished.insert(pid, (name, so_far));
                Ok(Line::Nothing)
            }
            None => Ok(self.finished(pid, name, rest)),
        }
    }

    /// `NAME resumed>REST` of a call that began on an earlier line.
    fn resumed(&mut self, pid: Pid, text: &str) -> Line {
        let Some((_, rest)) = text.split_once("resumed>") else {
            return Line::Foreign;
        };
        match self.unfinished.remove(&pid) {
            Some((name, so_far)) => self.finished(pid, name, &format!("{so_far}{rest}")),
            // strace was attached in the middle of it; the name is the caller's word for it.
            None => Line::Nothing,
        }
    }

    fn finished(&mut self, pid: Pid, name: &'static str, rest: &str) -> Line {
        let (arguments, end) = values::arguments(rest);
        if name == "execve" && !self.counts(pid) && self.executes(&arguments, end) {
            self.is_running = true;
            self.outside.remove(&pid);
        }
        if !self.counts(pid) {
            self.outside.insert(pid);
            return Line::Nothing;
        }
        let mut calls = Vec::new();
        // restart_syscall(<... resuming interrupted NAME ...>)
        if name == "restart_syscall"
            && let Some(interrupted) = rest.strip_prefix("<... resuming interrupted ")
            && let Some(name) = interrupted.split(' ').next().and_then(table::known)
        {
            calls.push(Call {
                name,
                arguments: None,
            });
        }
        calls.push(Call {
            name,
            arguments: Some(arguments),
        });
        Line::Calls(calls)
    }

    /// Whether the calls of a process are the container's. Who appears after the execution of the program is
    /// a child of it.
    fn counts(&self, pid: Pid) -> bool {
        self.is_running && !self.outside.contains(&pid)
    }

    fn executes(&self, arguments: &[String], end: &str) -> bool {
        let path = arguments.first().map(|path| path.trim_matches('"'));
        path == self.program && end.trim() == "= 0"
    }

    /// The calls that had no end when the recording had.
    pub fn rest(&mut self) -> Vec<Call> {
        let unfinished = std::mem::take(&mut self.unfinished);
        unfinished
            .into_iter()
            .filter(|(pid, _)| self.counts(*pid))
            .map(|(_, (name, so_far))| Call {
                name,
                arguments: Some(values::arguments(&so_far).0),
            })
            .collect()
    }
}

/// The ABI of a remark such as `[ Process PID=7 runs in 32 bit mode. ]`.
fn foreign_abi(text: &str) -> Option<&'static str> {
    let (_, mode) = text
        .strip_prefix("strace: ")
        .unwrap_or(text)
        .strip_prefix("[ Process PID=")?
        .split_once(" runs in ")?;
    match mode {
        _ if mode.starts_with("32 bit mode") => Some("the 32-bit ABI"),
        _ if mode.starts_with("x32 mode") => Some("the x32 ABI"),
        _ => None,
    }
}

/// The name of a call in the table; `syscall_0x1ff` is how strace names one that it does not know.
fn name_of(name: &str, arch: Arch) -> Result<&'static str, LineError> {
    if let Some(number) = name.strip_prefix("syscall_") {
        let number = match number.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => number.parse(),
        };
        if let Ok(number) = number {
            return arch
                .name(number)
                .ok_or(LineError::UnknownNumber { number, arch });
        }
    }
    table::known(name).ok_or_else(|| LineError::UnknownCall {
        name: name.to_owned(),
    })
}

/// `name(rest`
fn split_name(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = text.split_once('(')?;
    let is_name = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_name.then_some((name, rest))
}

/// The process and the text behind it, without times, pointers and security contexts.
fn strip(line: &str) -> (Pid, &str) {
    let line = line.trim();
    let (pid, mut text) = match line.strip_prefix("[pid ") {
        Some(rest) => match rest.split_once("] ") {
            Some((pid, rest)) => (number(pid), rest),
            None => (None, line),
        },
        None => match line.split_once(' ') {
            Some((first, rest)) if number(first).is_some() => (number(first), rest),
            _ => (None, line),
        },
    };
    loop {
        text = text.trim_start();
        text = match text.split_once(' ') {
            Some((word, rest)) if is_time(word) => rest,
            // `(+     0.000123)`
            _ if text.starts_with("(+") => text.split_once(") ").map_or("", |(_, rest)| rest),
            // `[00007f0012345678]` and `[  59]`, but not `[ Process PID=...`
            _ if is_bracketed_number(text) => text.split_once("] ").map_or("", |(_, rest)| rest),
            _ => return (pid, text),
        };
    }
}

/// `77`, or with the name of the process `77<app>`.
fn number(word: &str) -> Pid {
    let digits = word.split('<').next()?.trim();
    digits.parse().ok()
}

/// `12:34:56`, `12:34:56.789`, `1700000000.123` or `0.000123`
fn is_time(word: &str) -> bool {
    word.contains([':', '.'])
        && word.starts_with(|c: char| c.is_ascii_digit())
        && word
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b':' || byte == b'.')
}

fn is_bracketed_number(text: &str) -> bool {
    text.strip_prefix('[')
        .and_then(|rest| rest.split_once("] "))
        .is_some_and(|(number, _)| number.trim().bytes().all(|byte| byte.is_ascii_hexdigit()))
}
