//! Why a container ended: a conclusion from how it ended and from what was asked for.

use super::{Exit, ExitReason, ExitStatus};
use nix::libc::{SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM};

/// Signals that ask a program to end, so that an exit after one of them is its answer.
const POLITE: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// What is known about the end itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) status: ExitStatus,
    /// The kernel has killed a process of the container for memory.
    pub(super) out_of_memory: bool,
    /// Init ended without a word about the program.
    pub(super) silent: bool,
}

/// The signals that clients have sent to a running container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Requested {
    /// Signal n is bit n - 1.
    signals: u64,
    /// The last one that asked it to end.
    polite: Option<i32>,
}

impl Requested {
    pub(super) fn note(&mut self, signal: i32) {
        self.signals |= bit(signal);
        if POLITE.contains(&signal) {
            self.polite = Some(signal);
        }
    }

    fn has(self, signal: i32) -> bool {
        self.signals & bit(signal) != 0
    }
}

fn bit(signal: i32) -> u64 {
    u32::try_from(signal.saturating_sub(1))
        .ok()
        .and_then(|shift| 1_u64.checked_shl(shift))
        .unwrap_or(0)
}

impl Ending {
    /// How and why. `closing`: the daemon had asked it to end.
    pub(super) fn exit(self, requested: Requested, closing: bool) -> Exit {
        Exit {
            status: self.status,
            reason: self.reason(requested, closing),
        }
    }

    fn reason(self, requested: Requested, closing: bool) -> ExitReason {
        if closing {
            return ExitReason::Shutdown;
        }
        match self.status {
            ExitStatus::Signalled(signal) if requested.has(signal) => ExitReason::Requested(signal),
            // The killer takes init with it where the control group is killed as a whole: no word comes from it then.
            ExitStatus::Signalled(SIGKILL) if self.out_of_memory => ExitReason::OutOfMemory,
            _ if self.silent => ExitReason::InitDied,
            ExitStatus::Signalled(_) => ExitReason::OwnSignal,
            ExitStatus::Exit(_) => requested
                .polite
                .map_or(ExitReason::OwnExit, ExitReason::Requested),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::libc::{SIGSEGV, SIGUSR1};

    fn reason(status: ExitStatus, memory: bool, silent: bool, sent: &[i32]) -> ExitReason {
        let mut requested = Requested::default();
        sent.iter().for_each(|signal| requested.note(*signal));
        let ending = Ending {
            status,
            out_of_memory: memory,
            silent,
        };
        assert_eq!(
            ending.exit(requested, true).reason,
            ExitReason::Shutdown,
            "the daemon's end comes first"
        );
        ending.exit(requested, false).reason
    }

    #[test]
    fn an_end_that_was_asked_for_is_told_from_one_that_was_not() {
        use ExitStatus::{Exit, Signalled};
        let kill = Signalled(SIGKILL);
        let table = [
            (reason(Exit(0), false, false, &[]), ExitReason::OwnExit),
            (
                reason(Exit(3), false, false, &[SIGTERM]),
                ExitReason::Requested(SIGTERM),
            ),
            (
                reason(Exit(0), false, false, &[SIGTERM, SIGINT]),
                ExitReason::Requested(SIGINT),
            ),
            // A program that was told to read its configuration again has not been told to end.
            (
                reason(Exit(0), false, false, &[SIGUSR1]),
                ExitReason::OwnExit,
            ),
            (
                reason(Signalled(SIGSEGV), false, false, &[]),
                ExitReason::OwnSignal,
            ),
            (
                reason(Signalled(SIGSEGV), false, false, &[SIGTERM]),
                ExitReason::OwnSignal,
            ),
            (
                reason(Signalled(SIGUSR1), false, false, &[SIGUSR1]),
                ExitReason::Requested(SIGUSR1),
            ),
            (
                reason(kill, false, true, &[SIGKILL]),
                ExitReason::Requested(SIGKILL),
            ),
            (
                reason(kill, true, false, &[SIGKILL]),
                ExitReason::Requested(SIGKILL),
            ),
            (
                reason(kill, true, false, &[SIGTERM]),
                ExitReason::OutOfMemory,
            ),
            (reason(kill, true, true, &[]), ExitReason::OutOfMemory),
            // A child was killed, the program ended by itself.
            (reason(Exit(1), true, false, &[]), ExitReason::OwnExit),
            (reason(kill, false, true, &[]), ExitReason::InitDied),
            (reason(kill, false, false, &[]), ExitReason::OwnSignal),
        ];
        for (index, (found, expected)) in table.into_iter().enumerate() {
            assert_eq!(found, expected, "row {index}");
        }
    }

    #[test]
    fn signals_beyond_the_last_one_are_none() {
        let mut requested = Requested::default();
        for signal in [0, -1, 65, i32::MAX, i32::MIN] {
            requested.note(signal);
        }
        assert_eq!(requested, Requested::default());
        requested.note(64);
        assert!(requested.has(64));
    }
}
