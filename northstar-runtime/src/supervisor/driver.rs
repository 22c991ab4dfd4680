//! The one task that owns all state: it takes commands, outcomes and reasons to stop, and gives them to the
//! [`Machine`], one at a time. It waits for nothing else, so that nothing can hold up an answer.

use super::{
    Error, Job, State,
    command::Command,
    install::InstallSlot,
    machine::{Machine, Outcome, Request, Workshop, answer},
    shutdown::{EndError, Residue, Shutdown, Stop},
};
use crate::config::RepositoryId;
use std::time::Duration;
use tokio::{sync::mpsc, time::Instant};
use tracing::warn;

/// The ends of all channels that lead to the driver.
#[derive(Debug)]
pub(super) struct Inbox<W: Workshop> {
    /// From the handles.
    pub(super) commands: mpsc::Receiver<Command>,
    /// Complete uploads that want to become visible.
    pub(super) uploads: mpsc::UnboundedReceiver<Request<W>>,
    /// From the work under way.
    pub(super) outcomes: mpsc::UnboundedReceiver<Outcome<W>>,
    /// From whoever has a reason to end the daemon.
    pub(super) stops: mpsc::UnboundedReceiver<Stop>,
}

/// What starts an upload.
pub(super) trait Uploads {
    /// Makes a place for the bytes of one package, or says why not.
    fn begin(&self, repository: &RepositoryId, size: u64, job: Job) -> Result<InstallSlot, Error>;
}

/// The task's own state.
#[derive(Debug)]
pub(super) struct Driver<W: Workshop> {
    machine: Machine<W>,
    repositories: Vec<RepositoryId>,
    stop_timeout: Duration,
    shutdown: Option<Shutdown>,
}

impl<W: Workshop + Uploads> Driver<W> {
    pub(super) fn new(
        machine: Machine<W>,
        repositories: Vec<RepositoryId>,
        stop_timeout: Duration,
    ) -> Driver<W> {
        Driver {
            machine,
            repositories,
            stop_timeout,
            shutdown: None,
        }
    }

    /// Runs until the daemon has been stopped and everything is taken down, or its time for that is up.
    pub(super) async fn run(mut self, mut inbox: Inbox<W>) -> Result<(), EndError> {
        loop {
            if let Some(shutdown) = self.shutdown.take_if(|_| self.machine.is_closed()) {
                return shutdown.result(Vec::new());
            }
            let deadline = self.shutdown.as_ref().map(Shutdown::next);
            // In this order: a flood of commands must not delay an outcome or the end.
            tokio::select! {
                biased;
                Some(stop) = inbox.stops.recv() => self.stop(stop),
                () = until(deadline) => {
                    if let Some(shutdown) = self.hurry() {
                        return shutdown.result(self.residue());
                    }
                }
                Some(outcome) = inbox.outcomes.recv() => self.outcome(outcome),
                Some(request) = inbox.uploads.recv() => self.machine.request(request),
                Some(command) = inbox.commands.recv() => self.command(command),
            }
        }
    }

    fn outcome(&mut self, outcome: Outcome<W>) {
        self.machine.outcome(outcome);
        if let Some((container, status)) = self.machine.take_critical() {
            self.stop(Stop::CriticalExit { container, status });
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::List(reply) => answer(reply, self.machine.registry.list()),
            Command::Repositories(reply) => answer(reply, self.repositories.clone()),
            Command::Inspect(container, reply) => self.machine.inspect(&container, reply),
            Command::Mount(container, reply) => {
                self.machine.request(Request::Mount(container, reply));
            }
            Command::Umount(container, reply) => {
                self.machine.request(Request::Umount(container, reply));
            }
            Command::Start(container, overrides, reply) => {
                self.machine
                    .request(Request::Start(container, overrides, reply));
            }
            Command::Kill(container, signal, reply) => {
                self.machine
                    .request(Request::Kill(container, signal, reply));
            }
            Command::Uninstall(container, wipe, reply) => {
                self.machine
                    .request(Request::Uninstall(container, wipe, reply));
            }
            Command::Install(repository, size, reply) => {
                let slot = if self.shutdown.is_some() {
                    Err(Error::ShuttingDown)
                } else {
                    self.machine.workshop.begin(&repository, size, reply.job())
                };
                answer(reply, slot);
            }
            Command::Statistics(containers, reply) => self.machine.statistics(&containers, reply),
            Command::Cancelled => self.machine.look_for_cancelled(),
            Command::Shutdown => self.stop(Stop::Requested),
        }
    }

    /// Begins the end, or takes another reason for it while it is under way.
    fn stop(&mut self, stop: Stop) {
        let now = Instant::now();
        match &mut self.shutdown {
            None => {
                stop.log();
                self.shutdown = Some(Shutdown::new(stop, now, self.stop_timeout));
                self.machine.close();
            }
            Some(shutdown) => match stop {
                Stop::Signal | Stop::ForkerDied => shutdown.hasten(now),
                Stop::Requested | Stop::CriticalExit { .. } | Stop::CriticalStart { .. } => {}
            },
        }
    }

    /// A deadline of the shutdown is reached: kills, or says that it is over.
    fn hurry(&mut self) -> Option<Shutdown> {
        let now = Instant::now();
        let shutdown = self.shutdown.as_mut()?;
        if shutdown.kill(now) {
            let killed = self.machine.kill_all();
            if killed > 0 {
                warn!("killed {killed} containers that did not end in time");
            }
        }
        self.shutdown.take_if(|shutdown| shutdown.give_up(now))
    }

    fn residue(&self) -> Vec<Residue> {
        let entries = self.machine.registry.iter();
        let stuck = entries.filter(|(_, entry)| entry.state() != State::Installed);
        let stuck = stuck.map(|(container, entry)| Residue {
            container: container.clone(),
            state: entry.state().as_str(),
        });
        stuck.collect()
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
