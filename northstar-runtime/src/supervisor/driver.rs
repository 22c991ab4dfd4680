//! The one task that owns all state: it takes commands, outcomes and reasons to stop, and gives them to the
//! [`Machine`], one at a time. It waits for nothing else, so that nothing can hold up an answer.

use super::{
    Event, Handle,
    command::Command,
    machine::{Machine, Outcome, Request, Workshop, answer},
    shutdown::{EndError, Residue, Shutdown, Stop},
    upload,
};
use crate::config::RepositoryId;
use std::time::Duration;
use tokio::{
    sync::{broadcast, mpsc},
    time::Instant,
};
use tracing::{error, info, warn};

/// The ends of all channels that lead to the driver.
#[derive(Debug)]
pub(super) struct Inbox<W: Workshop> {
    /// From the handles.
    pub(super) commands: mpsc::Receiver<Command>,
    /// From uploads that are complete.
    pub(super) uploads: mpsc::Receiver<Request<W>>,
    /// From the work under way.
    pub(super) outcomes: mpsc::UnboundedReceiver<Outcome<W>>,
    /// From whoever has a reason to end the daemon.
    pub(super) stops: mpsc::UnboundedReceiver<Stop>,
}
