//! Runs in the payload, after fork. The last steps before the program.

use std::os::fd::{OwnedFd, RawFd};

use northstar_sys::exec::Program;
use northstar_sys::fd;
use northstar_sys::seccomp::{self, Instruction};
use rustix::io::Errno;

use super::outcome::write_ready;
use crate::step::{At, Step, StepError};

/// Writes the SELinux context of the program and reads it back.
pub(super) fn set_label(label: &OwnedFd, context: &str) -> Result<(), StepError> {
    rustix::io::write(label, context.as_bytes()).at_detail(Step::SelinuxExec, context)?;
    let mut found = [0u8; 4096];
    let length = rustix::io::pread(label, &mut found, 0).at_detail(Step::SelinuxExec, context)?;
    let found = found.get(..length).unwrap_or(&[]);
    let end = |byte: &u8| matches!(byte, 0 | b'\n');
    let found = found.split(end).next().unwrap_or(&[]);
    if found == context.as_bytes() {
        Ok(())
    } else {
        Err(Errno::PROTO).at_detail(Step::SelinuxExec, context)
    }
}

/// Marks every descriptor close-on-exec but the standard streams and `promised`.
pub(super) fn close_on_exec(promised: &[RawFd]) -> Result<(), StepError> {
    fd::set_cloexec_except(promised).at(Step::CloseRange)
}

/// Installs the filters, the last one last, and executes the program. Returns the reason why not.
///
/// Takes no memory: a filter may forbid every way to get some.
pub(super) fn filter_and_execute(
    filters: &[Vec<Instruction>],
    program: &Program,
    report: &OwnedFd,
) -> StepError {
    let failed = |step, errno| StepError {
        step,
        errno,
        detail: String::new(),
    };
    if let Err(error) = write_ready(report) {
        return failed(Step::Execve, error.raw_os_error());
    }
    for filter in filters {
        if let Err(error) = seccomp::install(filter) {
            return failed(Step::Seccomp, error.errno());
        }
    }
    failed(Step::Execve, program.execute())
}
