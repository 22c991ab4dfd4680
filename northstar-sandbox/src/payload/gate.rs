//! The gate between payload and init: a close-on-exec pipe whose one byte lets the payload execute
//! its program.
//!
//! Init opens the gate when it has nothing left that a hostile program could use through it. A byte
//! and not the end of file: init also closes its end by dying or by failing to give something up,
//! and then nothing may be executed.

use std::os::fd::OwnedFd;

use northstar_sys::fd;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;

use crate::step::{At, Step, StepError};

/// Init's end.
pub(crate) struct Gatekeeper(OwnedFd);

/// The payload's end.
pub(crate) struct Gate(OwnedFd);

const OPEN: u8 = b'O';

/// A closed gate.
pub(crate) fn gate() -> Result<(Gatekeeper, Gate), Errno> {
    let (wait, open) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    Ok((Gatekeeper(open), Gate(wait)))
}

impl Gatekeeper {
    /// Lets the payload go on. That it may have ended meanwhile is for its report to tell.
    pub(crate) fn open(self) -> Result<(), Errno> {
        loop {
            match rustix::io::write(&self.0, &[OPEN]) {
                Err(Errno::INTR) => {}
                Ok(_) | Err(Errno::PIPE) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

impl Gate {
    /// The same gate with a number that is at least `minimum`.
    pub(super) fn lift(self, minimum: i32) -> northstar_sys::Result<Gate> {
        fd::lift(self.0, minimum).map(Gate)
    }

    /// Waits until the gate is open; an error when that will never be (EOWNERDEAD).
    pub(super) fn wait(self) -> Result<(), StepError> {
        let mut byte = [0];
        loop {
            match rustix::io::read(&self.0, &mut byte) {
                Err(Errno::INTR) => {}
                Ok(1) if byte == [OPEN] => return Ok(()),
                Ok(_) => return Err(Errno::OWNERDEAD).at(Step::AwaitInit),
                Err(error) => return Err(error).at(Step::AwaitInit),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_gate_lets_through() {
        let (keeper, gate) = gate().unwrap();
        keeper.open().unwrap();
        gate.wait().unwrap();
    }

    #[test]
    fn dead_keeper_lets_nobody_through() {
        let (keeper, gate) = gate().unwrap();
        drop(keeper);
        let errno = Errno::OWNERDEAD.raw_os_error();
        assert_eq!(
            gate.wait().unwrap_err(),
            StepError::new(Step::AwaitInit, errno, "")
        );
    }

    #[test]
    fn keeper_of_a_dead_payload_goes_on() {
        let (keeper, gate) = gate().unwrap();
        drop(gate);
        keeper.open().unwrap();
    }
}
