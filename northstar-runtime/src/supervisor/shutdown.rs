//! The end of the daemon: why it ends, how long each part of the end may take, and what came of it.

use super::{Error, ExitStatus};
use northstar_manifest::Container;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use tracing::{error, info};

/// What killing, cleaning up and unmounting may take beyond `stop_timeout`. Together with the last words of the
/// consoles and the end of the threads it stays below `stop_timeout` and 5 s.
const CLEANUP_TIME: Duration = Duration::from_secs(3);

/// Why the daemon ends.
#[derive(Clone, Debug)]
pub enum Stop {
    /// A console asked for it.
    Requested,
    /// A signal (SIGTERM or SIGINT) asked for it.
    Signal,
    /// A critical container exited with an error or by a signal.
    CriticalExit {
        /// The container.
        container: Container,
        /// How it ended.
        status: ExitStatus,
    },
    /// A critical container could not be started at the start of the daemon.
    CriticalStart {
        /// The container.
        container: Container,
        /// Why.
        error: Error,
    },
    /// The process that creates containers is gone, and all containers with it.
    ForkerDied,
}

impl Stop {
    /// Says why the end begins.
    pub(super) fn log(&self) {
        match self {
            Stop::Requested => info!("shutting down: a console asked for it"),
            Stop::Signal => info!("shutting down: signal"),
            Stop::CriticalExit { container, status } => {
                error!("shutting down: critical container {container} ended with {status}");
            }
            Stop::CriticalStart { container, error } => {
                let error = error.report();
                error!("shutting down: critical container {container}: {error}");
            }
            Stop::ForkerDied => error!("shutting down: the forker died"),
        }
    }
}

/// An end that is an error, or that left something behind.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EndError {
    /// A critical container exited with an error or by a signal.
    #[error("critical container {container} ended with {status}")]
    CriticalExit {
        /// The container.
        container: Container,
        /// How it ended.
        status: ExitStatus,
    },
    /// A critical container could not be started at the start of the daemon.
    #[error("critical container {container} could not be started")]
    CriticalStart {
        /// The container.
        container: Container,
        /// Why.
        #[source]
        source: Arc<Error>,
    },
    /// The process that creates containers died.
    #[error("the forker died")]
    ForkerDied,
    /// Some containers did not go in time.
    #[error("left behind: {}", Left(residue))]
    Residue {
        /// What is left.
        residue: Vec<Residue>,
    },
}

/// Something that is still there at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Residue {
    /// Whose it is.
    pub container: Container,
    /// In what it is stuck: a word for the state of its image or run.
    pub state: &'static str,
}

struct Left<'a>(&'a [Residue]);

impl std::fmt::Display for Left<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, Residue { container, state }) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{container} ({state})")?;
        }
        Ok(())
    }
}

/// A shutdown under way.
#[derive(Debug)]
pub(super) struct Shutdown {
    stop: Stop,
    /// When what still runs is killed. `None`: it was.
    kill_at: Option<Instant>,
    /// When nothing more is waited for.
    give_up_at: Instant,
}

impl Shutdown {
    pub(super) fn new(stop: Stop, now: Instant, stop_timeout: Duration) -> Shutdown {
        // Without the forker nobody is left to end gracefully.
        let grace = if matches!(stop, Stop::ForkerDied) {
            Duration::ZERO
        } else {
            stop_timeout
        };
        Shutdown {
            stop,
            kill_at: Some(now + grace),
            give_up_at: now + grace + CLEANUP_TIME,
        }
    }

    /// A second request, by a signal: no more patience.
    pub(super) fn hasten(&mut self, now: Instant) {
        if self.kill_at.is_some() {
            self.kill_at = Some(now);
            self.give_up_at = self.give_up_at.min(now + CLEANUP_TIME);
        }
    }

    /// When to look again.
    pub(super) fn next(&self) -> Instant {
        self.kill_at.unwrap_or(self.give_up_at)
    }

    /// Whether it is time to kill. True once.
    pub(super) fn kill(&mut self, now: Instant) -> bool {
        let due = self.kill_at.is_some_and(|at| now >= at);
        if due {
            self.kill_at = None;
        }
        due
    }

    /// Whether it is time to give up.
    pub(super) fn give_up(&self, now: Instant) -> bool {
        now >= self.give_up_at
    }

    /// The result of the whole run. Why the daemon ended comes before what it left.
    pub(super) fn result(self, residue: Vec<Residue>) -> Result<(), EndError> {
        match self.stop {
            Stop::CriticalExit { container, status } => {
                Err(EndError::CriticalExit { container, status })
            }
            Stop::CriticalStart { container, error } => Err(EndError::CriticalStart {
                container,
                source: Arc::new(error),
            }),
            Stop::ForkerDied => Err(EndError::ForkerDied),
            Stop::Requested | Stop::Signal if residue.is_empty() => Ok(()),
            Stop::Requested | Stop::Signal => Err(EndError::Residue { residue }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(3);

    #[test]
    fn kill_comes_after_the_grace_and_once() {
        let start = Instant::now();
        let mut shutdown = Shutdown::new(Stop::Requested, start, GRACE);
        assert!(!shutdown.kill(start));
        assert_eq!(shutdown.next(), start + GRACE);
        assert!(shutdown.kill(start + GRACE));
        assert!(!shutdown.kill(start + GRACE));
        assert_eq!(shutdown.next(), start + GRACE + CLEANUP_TIME);
    }

    #[test]
    fn end_is_bounded() {
        let start = Instant::now();
        let shutdown = Shutdown::new(Stop::Signal, start, GRACE);
        assert!(!shutdown.give_up(start + GRACE));
        assert!(shutdown.give_up(start + GRACE + CLEANUP_TIME));
    }

    #[test]
    fn second_signal_kills_at_once() {
        let start = Instant::now();
        let mut shutdown = Shutdown::new(Stop::Signal, start, GRACE);
        shutdown.hasten(start);
        assert!(shutdown.kill(start));
        assert!(shutdown.give_up(start + CLEANUP_TIME));
        // A third one does not give the clean-up more time or less.
        shutdown.hasten(start + Duration::from_secs(1));
        assert!(!shutdown.kill(start + Duration::from_secs(1)));
        assert_eq!(shutdown.next(), start + CLEANUP_TIME);
    }

    #[test]
    fn without_forker_there_is_no_grace() {
        let start = Instant::now();
        assert!(Shutdown::new(Stop::ForkerDied, start, GRACE).kill(start));
    }

    #[test]
    fn reason_comes_before_residue() {
        let start = Instant::now();
        let container: Container = "a:1.0.0".parse().unwrap();
        let residue = vec![Residue {
            container: container.clone(),
            state: "running",
        }];
        let result = |stop| Shutdown::new(stop, start, GRACE).result(residue.clone());
        let status = ExitStatus::Exit(1);
        assert!(matches!(
            result(Stop::CriticalExit { container, status }),
            Err(EndError::CriticalExit { .. })
        ));
        assert!(matches!(
            result(Stop::ForkerDied),
            Err(EndError::ForkerDied)
        ));
        match result(Stop::Signal) {
            Err(error @ EndError::Residue { .. }) => {
                assert_eq!(error.to_string(), "left behind: a:1.0.0 (running)");
            }
            other => panic!("{other:?}"),
        }
        assert!(
            Shutdown::new(Stop::Requested, start, GRACE)
                .result(Vec::new())
                .is_ok()
        );
    }
}
