//! Waiting for containers to end.

use futures::StreamExt;
use northstar_api::{Container, Exit, ExitReason, ExitStatus, Notification};
use northstar_client::{Missed, Notifications};

use crate::{failure::Failure, verbs::kill::Signal};

/// Containers that are waited for.
pub struct Exits {
    notifications: Notifications,
    waiting: Vec<Container>,
}

impl Exits {
    /// Waits for nothing yet; `notifications` have to start before the containers can end.
    pub fn new(notifications: Notifications) -> Exits {
        Exits {
            notifications,
            waiting: Vec::new(),
        }
    }

    /// Waits for `container` too.
    pub fn expect(&mut self, container: Container) {
        self.waiting.push(container);
    }

    /// The containers that have not ended.
    pub fn waiting(&self) -> &[Container] {
        &self.waiting
    }

    /// The next one that ends; `None` if all have. Nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Result<Option<(Container, Exit)>, Failure> {
        loop {
            let Some(first) = self.waiting.first() else {
                return Ok(None);
            };
            match self.notifications.next().await {
                Some(Ok(Notification::Exit(container, exit))) => {
                    if let Some(at) = self.waiting.iter().position(|c| *c == container) {
                        self.waiting.remove(at);
                        return Ok(Some((container, exit)));
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(Missed { .. })) => {
                    return Err(Failure::MissedExit {
                        container: first.clone(),
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
