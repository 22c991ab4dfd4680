//! From recorded runs to the list of system calls that a container may make.
//!
//! `strace` and `audit` read recordings line by line into a [`Recording`]; `learn` makes rules of it, with
//! what the profile `default` allows in `profile`; `render` writes them as the `seccomp` of a manifest.
//! `table` knows the names and numbers of system calls, `values` the values of their arguments.

mod audit;
mod learn;
mod profile;
mod recording;
mod render;
mod strace;
mod table;
#[cfg(test)]
mod tests;
mod values;

use std::{io, path::PathBuf};

use thiserror::Error;

pub use learn::{Learned, Rule, learn};
pub use recording::{Recorder, Recording, Wanted};
pub use render::render;
pub use table::{Arch, known as known_call};

/// Most values in one rule of a manifest.
pub const MAX_VALUES: usize = 50;

/// Why nothing can be learned.
#[derive(Debug, Error)]
pub enum SeccompFailure {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: there is no system call in it", path.display())]
    Empty { path: PathBuf },
    #[error("{}:{line}", path.display())]
    Line {
        path: PathBuf,
        line: usize,
        source: LineError,
    },
    #[error("{}: {program} is not executed in it", path.display())]
    NoProgram { path: PathBuf, program: String },
    #[error("{call}")]
    Argument { call: String, source: ArgumentError },
}

/// Why a line of a recording cannot be used.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum LineError {
    #[error("there is no system call `{name}` on x86_64 or aarch64")]
    UnknownCall { name: String },
    #[error("there is no system call {number} on {arch}")]
    UnknownNumber { number: u64, arch: Arch },
    #[error("{abi} is not supported: only x86_64 and aarch64 are")]
    ForeignAbi { abi: String },
    #[error("an audit record without `{key}`")]
    Incomplete { key: &'static str },
    #[error("`{key}={value}` of an audit record is not understood")]
    Malformed { key: &'static str, value: String },
}

/// Why the argument of a system call cannot be learned.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum ArgumentError {
    #[error("audit records do not hold arguments")]
    NotRecorded,
    #[error("argument {index} is missing in a recording")]
    Missing { index: usize },
    #[error("the value of `{text}` is not known")]
    Unknown { text: String },
    #[error("argument {index} has {count} values, and a rule takes {MAX_VALUES}")]
    TooMany { index: usize, count: usize },
}

impl SeccompFailure {
    /// What to try next.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            SeccompFailure::Read { .. } => None,
            SeccompFailure::Empty { .. } => Some("record with `strace -f -o FILE PROGRAM`"),
            SeccompFailure::Line { source, .. } => match source {
                LineError::UnknownCall { .. } => Some(
                    "with `strace -o FILE` the output of the program does not get between the calls",
                ),
                LineError::UnknownNumber { .. } => {
                    Some("--arch names the architecture that was recorded")
                }
                LineError::ForeignAbi { .. } => {
                    Some("such a program is killed in a container that has a filter")
                }
                LineError::Incomplete { .. } | LineError::Malformed { .. } => None,
            },
            SeccompFailure::NoProgram { .. } => {
                Some("the path has to be as the container's manifest has it")
            }
            SeccompFailure::Argument { source, .. } => match source {
                ArgumentError::NotRecorded => Some("record with strace, or leave out --args"),
                ArgumentError::Missing { .. } | ArgumentError::Unknown { .. } => {
                    Some("`strace -X verbose` records the numbers too")
                }
                ArgumentError::TooMany { .. } => Some("leave out --args for this call"),
            },
        }
    }
}
