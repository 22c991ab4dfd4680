//! Signal dispositions of the whole process, signal(7).
//!
//! Only the two that carry no handler function are offered: they need no code of ours to be
//! async-signal-safe.

use std::mem::MaybeUninit;
use std::ptr;

use crate::Result;
use crate::error::check;

/// Highest signal number of Linux on the supported architectures.
const LAST: i32 = 64;

/// Gives every signal its default disposition, as a fresh program expects it, and empties the
/// calling thread's signal mask.
///
/// # Errors
/// The errno of sigprocmask(2).
pub fn reset() -> Result<()> {
    for signal in 1..=LAST {
        // SIGKILL and SIGSTOP answer EINVAL: nobody could have changed those either.
        let _unchangeable = set(signal, libc::SIG_DFL);
    }
    let mut empty = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set it is given.
    unsafe { libc::sigemptyset(empty.as_mut_ptr()) };
    // SAFETY: the set was initialised by the line above; a null old set is not written.
    let returned = unsafe { libc::sigprocmask(libc::SIG_SETMASK, empty.as_ptr(), ptr::null_mut()) };
    check("sigprocmask", returned.into(), || "empty mask").map(drop)
}

/// Ignores `signal` from now on.
///
/// # Errors
/// EINVAL for a number that does not exist or cannot be ignored.
pub fn ignore(signal: i32) -> Result<()> {
    set(signal, libc::SIG_IGN)
}

/// The kernel's own call: the one of the C library refuses the numbers that library keeps for itself, and a program
/// that was started by its posix_spawn(3) has those ignored.
fn set(signal: i32, disposition: libc::sighandler_t) -> Result<()> {
    // The kernel's structure: the disposition, then flags, restorer and mask, none of which matters without a handler.
    let action: [usize; 4] = [disposition, 0, 0, 0];
    // SAFETY: `action` has the size of the kernel's structure and carries SIG_DFL or SIG_IGN, never a function that
    // could run in a signal handler; a null old action is not written. 8 is the size of the kernel's signal set.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_rt_sigaction,
            signal,
            action.as_ptr(),
            ptr::null_mut::<usize>(),
            size_of::<u64>(),
        )
    };
    check("rt_sigaction", returned, || format!("signal {signal}")).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kill_cannot_be_ignored() {
        assert_eq!(ignore(libc::SIGKILL).unwrap_err().errno(), libc::EINVAL);
    }

    #[test]
    fn ignored_signal_is_harmless() {
        ignore(libc::SIGWINCH).unwrap();
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::WINCH)
            .unwrap();
    }
}
