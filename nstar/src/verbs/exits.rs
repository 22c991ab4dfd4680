//! Waiting for containers to end.

use futures::StreamExt;
use northstar_api::{Container, Exit, ExitReason, ExitStatus, Notification};
use northstar_client::{Missed, Notifications};

use crate::{failure::Failure, verbs::kill::Signal};

/// Containers that are waited for.
pub struct Exits {
    notifications: Notifications,
    waiting: Vec<Waiting>,
}

/// One of them.
struct Waiting {
    container: Container,
    /// Its next end is the one that is waited for.
    runs: bool,
}

impl Exits {
    /// Waits for nothing yet; `notifications` have to start before the containers can end.
    pub fn new(notifications: Notifications) -> Exits {
        Exits {
            notifications,
            waiting: Vec::new(),
        }
    }

    /// Waits for `container` too, which runs.
    pub fn expect(&mut self, container: Container) {
        let runs = true;
        self.waiting.push(Waiting { container, runs });
    }

    /// Waits for `container` too, which was started. The end of the run before may still be on its way: a start waits for what
    /// that leaves to be cleaned up.
    pub fn expect_started(&mut self, container: Container) {
        let runs = false;
        self.waiting.push(Waiting { container, runs });
    }

    /// The containers that have not ended.
    pub fn waiting(&self) -> Vec<Container> {
        let waiting = self.waiting.iter();
        waiting.map(|waiting| waiting.container.clone()).collect()
    }

    /// The next one that ends; `None` if all have. Nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Result<Option<(Container, Exit)>, Failure> {
        loop {
            let Some(first) = self.waiting.first() else {
                return Ok(None);
            };
            match self.notifications.next().await {
                Some(Ok(Notification::Started(container))) => {
                    let waiting = self.waiting.iter_mut();
                    waiting
                        .filter(|waiting| waiting.container == container)
                        .for_each(|waiting| waiting.runs = true);
                }
                Some(Ok(Notification::Exit(container, exit))) => {
                    let is_over = |it: &Waiting| it.runs && it.container == container;
                    if let Some(at) = self.waiting.iter().position(is_over) {
                        self.waiting.remove(at);
                        return Ok(Some((container, exit)));
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(Missed { .. })) => {
                    return Err(Failure::MissedExit {
                        container: first.container.clone(),
                    });
                }
                None => return Err(Failure::Lost),
            }
        }
    }
}

/// How a container ended, in words; with the reason where it tells more than the status.
pub fn words(exit: &Exit) -> String {
    let status = match exit.status {
        ExitStatus::Exit { code } => format!("code {code}"),
        ExitStatus::Signalled { signal } => {
            Signal(i32::try_from(signal).unwrap_or(i32::MAX)).to_string()
        }
    };
    let reason = match exit.reason {
        None | Some(ExitReason::OwnExit | ExitReason::OwnSignal) => return status,
        Some(ExitReason::KilledByRequest) => "as requested",
        Some(ExitReason::OomKilled) => "out of memory",
        Some(ExitReason::Shutdown) => "the daemon ends",
        Some(ExitReason::InitDied) => "its init died",
    };
    format!("{status}: {reason}")
}
