//! The supervisor: everything the daemon knows about its containers, and who may do what to them when.
//!
//! One task, the [`driver`], owns all state. The consoles hold a [`Handle`] and send commands; long work (mount,
//! launch, install, uninstall, clean-up) runs in tasks of its own and comes back to the driver as an outcome. The
//! driver itself never waits for anything but its next message.
//!
//! Whether a request may run now is decided by [`admission`], a pure function; what a container is at the moment is
//! in [`registry`], where each state carries only what exists in it:
//!
//! ```text
//!            mount                    start                    execve
//! Installed -------> Mounting -> Mounted -------> Starting -----------> Running
//!     ^                            |  ^              | failed              | exit
//!     |        umount              |  +--------------+<----- Exiting <-----+
//!     +--------- Unmounting <------+                        (clean-up)
//! ```
//!
//! `uninstall` goes the way of `umount` and then removes the package (`Uninstalling`).

mod admission;
mod arguments;
mod autostart;
mod command;
mod driver;
mod ending;
mod error;
mod event;
mod handle;
mod inspection;
mod install;
mod job;
mod journal;
mod machine;
mod measuring;
mod pieces;
mod registry;
#[cfg(any(test, feature = "played"))]
pub mod script;
mod shutdown;
mod turns;
mod uploads;
mod works;

pub(crate) use error::report;
pub use error::{Error, Gone, InvalidArguments};
pub use event::{Event, Exit, ExitReason, ExitStatus, MemoryEvents};
pub use handle::{Handle, StartOverrides};
pub use inspection::{Inspection, Process, Protection, RepositoryFacts, State, Statistics, Usage};
pub use install::InstallSlot;
pub use job::{Job, Progress, Watcher};
pub(crate) use journal::Publisher;
pub use journal::{Events, Lag, Numbered};
use shutdown::Shutdown;
pub(crate) use shutdown::Stop;
pub use shutdown::{EndError, Residue};
pub use turns::Asker;

use crate::{
    config::Config,
    launch::Context,
    repository::{InstalledPackage, Repository},
    storage::{Integrity, Kernel},
};
use autostart::Agenda;
use command::Command;
use driver::{Driver, Inbox};
use machine::Machine;
use measuring::Measuring;
use registry::Entry;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, mpsc},
    time::Instant,
};
use tracing::warn;
use works::Works;

/// Most arguments of a start.
pub const MAX_ARGUMENTS: usize = 256;
/// Most bytes of init, arguments and environment of a start together.
pub const MAX_ARGUMENT_BYTES: usize = 32 * 1024;
/// Most environment variables of a start.
pub const MAX_ENVIRONMENT: usize = 64;
/// Most bytes of a variable's name.
pub const MAX_VARIABLE_NAME: usize = 64;
/// Most bytes of a variable's value.
pub const MAX_VARIABLE_VALUE: usize = 1024;

/// A supervisor that is not running yet: its [`Handle`] can be given away already, and what is asked through it waits.
#[derive(Debug)]
pub(crate) struct Supervisor {
    handle: Handle,
    commands: mpsc::Receiver<Command>,
    events: Publisher,
    stop: mpsc::UnboundedSender<Stop>,
    stops: mpsc::UnboundedReceiver<Stop>,
}

impl Supervisor {
    pub(crate) fn new(config: &Config) -> Supervisor {
        let (sender, commands) = mpsc::channel(config.event_buffer_size.max(1));
        let events = Publisher::new(config.notification_buffer_size);
        let (stop, stops) = mpsc::unbounded_channel();
        let limits = handle::Limits {
            parallel: config.mount_parallel,
            max_installs: config.max_installs,
        };
        let configured = config.repositories.iter();
        let facts = configured.map(|(id, repository)| RepositoryFacts::new(id, repository));
        let handle = Handle::new(sender, events.journal(), limits, facts.collect());
        Supervisor {
            handle,
            commands,
            events,
            stop,
            stops,
        }
    }

    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Where reasons to end the daemon go.
    pub(crate) fn stop(&self) -> mpsc::UnboundedSender<Stop> {
        self.stop.clone()
    }

    /// Waits for a reason to end the daemon before it runs, and returns the result of that end.
    pub(crate) async fn stopped(&mut self) -> Result<(), EndError> {
        match self.stops.recv().await {
            Some(stop) => {
                stop.log();
                Shutdown::new(stop, Instant::now(), Duration::ZERO).result(Vec::new())
            }
            // It has a sender of its own.
            None => std::future::pending().await,
        }
    }

    /// Carries out what is to happen at the start, then serves until the daemon has been stopped.
    pub(crate) async fn run(
        self,
        config: &Config,
        run_dir: PathBuf,
        context: Arc<Context>,
        repositories: Vec<Repository>,
    ) -> Result<(), EndError> {
        let Supervisor {
            handle,
            commands,
            events,
            stop,
            stops,
        } = self;
        let (outcome_sender, outcomes) = mpsc::unbounded_channel();
        let (upload_sender, uploads) = mpsc::unbounded_channel();
        let kernel = Kernel::detect();
        warn_of_unmountable(&repositories, &kernel);
        let packages: Vec<_> = repositories
            .iter()
            .flat_map(Repository::packages)
            .map(Arc::clone)
            .collect();
        let ids: Vec<_> = repositories
            .iter()
            .map(|repository| repository.id().clone())
            .collect();
        let configured = config.repositories.iter();
        let start_command = configured.filter(|(_, repository)| repository.start_command);
        let works = Works {
            context,
            kernel,
            repositories: repositories
                .into_iter()
                .map(|repository| (repository.id().clone(), repository))
                .collect(),
            start_command: start_command.map(|(id, _)| id.clone()).collect(),
            run_dir,
            loop_timeout: config.loop_device_timeout,
            mounts: Arc::new(Semaphore::new(config.mount_parallel.get())),
            installs: Arc::new(Semaphore::new(config.max_installs.get())),
            max_installs: config.max_installs.get(),
            measuring: Measuring::new(),
            outcomes: outcome_sender,
            uploads: upload_sender,
            events,
        };
        let agenda = Agenda::of(&packages, config);
        let machine = machine(works, packages);
        // It is over with the last start; what it waits for is always answered.
        tokio::spawn(agenda.run(handle, stop));
        let inbox = Inbox {
            commands,
            uploads,
            outcomes,
            stops,
        };
        Driver::new(machine, ids, config.stop_timeout)
            .run(inbox)
            .await
    }
}

/// The machine that knows these packages.
fn machine(works: Works, packages: Vec<Arc<InstalledPackage>>) -> Machine<Works> {
    let mut machine = Machine::new(works);
    for package in packages {
        let facts = machine.workshop.facts(&package);
        machine
            .registry
            .insert(package.container.clone(), Entry::new(package, facts));
    }
    machine
}

/// Each `mount` will say so; the operator may want to know before.
fn warn_of_unmountable(repositories: &[Repository], kernel: &Kernel) {
    let Err(missing) = &kernel.device_mapper else {
        return;
    };
    for repository in repositories {
        if repository.integrity() == Integrity::DmVerity {
            let id = repository.id();
            warn!("repository {id}: its packages cannot be mounted: {missing}");
        }
    }
}
