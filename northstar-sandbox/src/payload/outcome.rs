//! The report pipe between payload and init. The payload writes into its close-on-exec end, init
//! reads to the end of file:
//!
//! - `Ready` and nothing more: the end of file came from execve,
//! - a step error, after `Ready` or without: that step failed,
//! - nothing: the payload died on its way.

use std::os::fd::OwnedFd;

use rustix::io::Errno;

use crate::step::StepError;

/// Records begin with one of these.
const READY: u8 = b'R';
const FAILED: u8 = b'F';

/// Longest record in bytes: a step error with its detail, and below PIPE_BUF, so that a write is
/// whole.
const MAX_RECORD: usize = 2048;

/// How the payload's way to execve ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The pipe closed after `Ready`.
    Executed,
    /// A step failed.
    Failed(StepError),
    /// The pipe closed too early.
    Died,
}

/// Says that nothing but the filters and execve is left. Takes no memory.
pub(super) fn write_ready(report: &OwnedFd) -> Result<(), Errno> {
    write(report, &[READY])
}

/// Says which step failed. Takes no memory: it may run under the payload's seccomp programs.
pub(super) fn write_failed(report: &OwnedFd, error: &StepError) {
    let mut record = [0u8; MAX_RECORD];
    let length = match record.split_first_mut() {
        Some((tag, rest)) => {
            *tag = FAILED;
            postcard::to_slice(error, rest)
                .map_or(0, |used| used.len())
                .saturating_add(1)
        }
        None => 0,
    };
    if let Some(record) = record.get(..length) {
        let _nobody_listens = write(report, record);
    }
}

fn write(report: &OwnedFd, record: &[u8]) -> Result<(), Errno> {
    loop {
        match rustix::io::write(report, record) {
            Err(Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Reads the report to its end.
pub(crate) fn wait_for_exec(report: OwnedFd) -> Outcome {
    let mut bytes = [0u8; MAX_RECORD + 1];
    let mut length = 0usize;
    while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match rustix::io::read(&report, rest) {
            Ok(0) => break,
            Ok(count) => length = length.saturating_add(count),
            Err(Errno::INTR) => {}
            Err(_) => return Outcome::Died,
        }
    }
    decode(bytes.get(..length).unwrap_or(&[]))
}

fn decode(bytes: &[u8]) -> Outcome {
    let after_ready = bytes.strip_prefix(&[READY]);
    match (after_ready, after_ready.unwrap_or(bytes)) {
        (Some(_), []) => Outcome::Executed,
        (_, [FAILED, record @ ..]) => {
            postcard::from_bytes(record).map_or(Outcome::Died, Outcome::Failed)
        }
        _ => Outcome::Died,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::Step;

    fn outcome_of(write: impl FnOnce(&OwnedFd)) -> Outcome {
        let (read, end) = rustix::pipe::pipe().unwrap();
        write(&end);
        drop(end);
        wait_for_exec(read)
    }

    #[test]
    fn ready_and_the_end_is_execve() {
        assert_eq!(
            outcome_of(|end| write_ready(end).unwrap()),
            Outcome::Executed
        );
    }

    #[test]
    fn failure_arrives_with_and_without_ready() {
        let error = StepError::new(Step::Execve, i32::MIN, "x".repeat(StepError::MAX_DETAIL));
        assert_eq!(
            outcome_of(|end| write_failed(end, &error)),
            Outcome::Failed(error.clone())
        );
        let after_ready = outcome_of(|end| {
            write_ready(end).unwrap();
            write_failed(end, &error);
        });
        assert_eq!(after_ready, Outcome::Failed(error));
    }

    #[test]
    fn silence_and_nonsense_are_a_death() {
        assert_eq!(outcome_of(|_| {}), Outcome::Died);
        for nonsense in [&b"RR"[..], b"F", b"x", b"RF\xff"] {
            assert_eq!(decode(nonsense), Outcome::Died, "{nonsense:?}");
        }
    }
}
