//! What a run has called.

use std::collections::{BTreeMap, BTreeSet};

use super::{Arch, LineError, audit, strace};

/// System calls whose arguments are kept: the name, and the index of the argument.
pub type Wanted = BTreeMap<String, usize>;

/// The system calls of one or more runs.
#[derive(Debug, Default)]
pub struct Recording {
    /// By name.
    pub calls: BTreeMap<&'static str, Uses>,
}

/// How a system call was used.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// How often.
    pub count: u64,
    /// The texts of its arguments, each combination once. Only of calls whose arguments matter.
    pub arguments: BTreeSet<Vec<String>>,
    /// Whether there were uses whose arguments are not known.
    pub without_arguments: bool,
}

impl Recording {
    /// How many calls there were.
    pub fn count(&self) -> u64 {
        self.calls.values().map(|uses| uses.count).sum()
    }

    /// Adds what another recording has.
    pub fn merge(&mut self, other: Recording) {
        for (name, uses) in other.calls {
            let all = self.calls.entry(name).or_default();
            all.count = all.count.saturating_add(uses.count);
            all.arguments.extend(uses.arguments);
            all.without_arguments |= uses.without_arguments;
        }
    }
}

/// Takes the lines of a recording.
#[derive(Debug)]
pub struct Recorder<'a> {
    arch: Arch,
    /// Whether the arguments of a call are kept.
    keeps: &'a dyn KeepsArguments,
    strace: strace::State<'a>,
    recording: Recording,
    skipped: usize,
}

/// Which calls' arguments matter.
pub trait KeepsArguments: std::fmt::Debug {
    /// Whether those of `call` do.
    fn keeps(&self, call: &str) -> bool;
}

impl<'a> Recorder<'a> {
    /// A recorder for a file. With `program`, what comes before its execution is left out.
    pub fn new(
        arch: Arch,
        keeps: &'a dyn KeepsArguments,
        program: Option<&'a str>,
    ) -> Recorder<'a> {
        Recorder {
            arch,
            keeps,
            strace: strace::State::new(program),
            recording: Recording::default(),
            skipped: 0,
        }
    }

    /// Takes a line.
    pub fn line(&mut self, line: &str) -> Result<(), LineError> {
        if audit::is_record(line) {
            let name = audit::read(line)?;
            let uses = self.recording.calls.entry(name).or_default();
            uses.count = uses.count.saturating_add(1);
            uses.without_arguments = true;
            return Ok(());
        }
        match self.strace.line(line, self.arch)? {
            strace::Line::Calls(calls) => {
                calls.into_iter().for_each(|call| self.add(call));
            }
            strace::Line::Nothing => {}
            strace::Line::Foreign => self.skipped = self.skipped.saturating_add(1),
        }
        Ok(())
    }

    fn add(&mut self, call: strace::Call) {
        let uses = self.recording.calls.entry(call.name).or_default();
        uses.count = uses.count.saturating_add(1);
        match call.arguments {
            Some(arguments) if self.keeps.keeps(call.name) => {
                uses.arguments.insert(arguments);
            }
            Some(_) => {}
            None => uses.without_arguments = true,
        }
    }

    /// The recording, how many lines were none of a call, and whether the program was executed.
    pub fn end(mut self) -> (Recording, usize, bool) {
        for call in self.strace.rest() {
            self.add(call);
        }
        (self.recording, self.skipped, self.strace.has_program())
    }
}
