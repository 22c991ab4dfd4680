//! System calls by number, with the names of their errnos.

use std::io;

use nix::errno::Errno;
use northstar_sys::attempt::{Argument, Entrance, Outcome, attempt};

use super::Findings;

pub use Argument::{Bytes, Number};

impl Findings {
    /// Makes a system call in a process of its own and notes `ok`, the name of the errno, or the signal that ended
    /// the process.
    pub fn call(&mut self, check: &str, number: i64, arguments: &[Argument<'_>]) -> io::Result<()> {
        let outcome = attempt(number, arguments, Entrance::Native).map_err(io::Error::other)?;
        self.note(check, word(outcome));
        Ok(())
    }
}

/// The outcome in one word; numbers that differ from run to run are left out.
pub fn word(outcome: Outcome) -> String {
    match outcome {
        Outcome::Returned(_) => "ok".to_owned(),
        Outcome::Failed(errno) => format!("{:?}", Errno::from_raw(errno)),
        Outcome::Died(signal) => format!("signal {signal}"),
    }
}
