//! The state machine: requests and outcomes in, work and answers out. No clock, no I/O, no await.
//!
//! The machine decides by [`admission`](super::admission), changes the [`Registry`], and orders long work from its
//! [`Workshop`], which reports each piece of work back as exactly one [`Outcome`]. Requests that have to wait are kept
//! in the order of their arrival and decided anew after each outcome.

mod closing;
mod outcomes;
mod requests;
#[cfg(test)]
mod tests;

use super::{
    Error, Event, ExitStatus, Inspection, MemoryEvents, StartOverrides, Usage,
    admission::Ask,
    command::{Reply, Wipe},
    ending::Ending,
    registry::{Entry, Facts, Parts, Registry},
};
use crate::{
    launch,
    repository::RemoveError,
    storage::{MountError, UnmountError},
};
use northstar_manifest::Container;
use std::{collections::VecDeque, io, sync::Arc};
use tokio_util::sync::CancellationToken;

/// Does what takes time. No method waits; what is begun ends in one outcome.
pub(in crate::supervisor) trait Workshop: Parts {
    /// Ends in [`Outcome::Mounted`].
    fn mount(&mut self, container: &Container, package: &Self::Package);
    /// Ends in [`Outcome::Unmounted`].
    fn unmount(&mut self, container: &Container, image: Self::Image);
    /// Ends in [`Outcome::Launched`], early if `cancel` fires, and if that is a success later in [`Outcome::Ended`] and
    /// then [`Outcome::CleanedUp`].
    fn launch(&mut self, order: Order<'_, Self>);
    /// Sends a signal to a running container.
    fn signal(&mut self, process: &Self::Process, signal: i32) -> io::Result<()>;
    /// Ends in [`Outcome::Removed`].
    fn remove(&mut self, container: &Container, package: &Self::Package, wipe: Wipe);
    /// The package was removed: it is not known any more.
    fn forget(&mut self, container: &Container, package: &Self::Package);
    /// Ends in [`Outcome::Committed`].
    fn commit(&mut self, container: &Container, staged: Self::Staged);
    /// The package was committed: from now on it is known.
    fn adopt(&mut self, committed: Self::Committed) -> (Self::Package, Facts);
    /// What `inspect` answers, apart from the numbers of the running process.
    fn describe(&self, entry: &Entry<Self>) -> Inspection
    where
        Self: Sized;
    /// Adds the numbers of the running process and answers.
    fn measure(
        &mut self,
        process: &Self::Process,
        inspection: Inspection,
        reply: Reply<Result<Inspection, Error>>,
    );
    /// Adds the numbers of the running processes and answers.
    fn measure_all(&mut self, usage: Vec<(Usage, Option<Self::Process>)>, reply: Reply<Vec<Usage>>);
    /// Tells everybody.
    fn publish(&mut self, event: Event);
}

/// What a launch needs to know.
#[derive(Debug)]
pub(in crate::supervisor) struct Order<'a, T: Parts + ?Sized> {
    pub(in crate::supervisor) container: &'a Container,
    pub(in crate::supervisor) package: &'a T::Package,
    pub(in crate::supervisor) image: &'a T::Image,
    /// The images of the needs, in their order.
    pub(in crate::supervisor) resources: Vec<&'a T::Image>,
    pub(in crate::supervisor) overrides: StartOverrides,
    /// Fires when the daemon shuts down.
    pub(in crate::supervisor) cancel: CancellationToken,
}

/// The end of a piece of work.
#[derive(Debug)]
pub(in crate::supervisor) enum Outcome<T: Parts> {
    Mounted(Container, Result<T::Image, Arc<MountError>>),
    Unmounted(Container, Result<(), UnmountFailure<T>>),
    Launched(Container, Result<Launched<T>, Arc<launch::Error>>),
    /// The container is dead. Its clean-up has begun.
    Ended(Container, Ending),
    /// Nothing of the run is left.
    CleanedUp(Container),
    Removed(Container, Result<Removal, Arc<RemoveError>>),
    Committed(Container, Result<T::Committed, Error>),
    /// The kernel reported memory pressure.
    Memory(Container, MemoryEvents),
}

/// A successful launch.
#[derive(Debug)]
pub(in crate::supervisor) struct Launched<T: Parts> {
    pub(in crate::supervisor) process: T::Process,
    /// What was left out because the repository says so.
    pub(in crate::supervisor) skipped: Vec<String>,
}

/// A failed umount.
#[derive(Debug)]
pub(in crate::supervisor) enum UnmountFailure<T: Parts> {
    /// Somebody on the host uses the mount: it is as it was.
    Busy(T::Image),
    /// It is gone from the daemon's sight, but something is left.
    Incomplete(Arc<UnmountError>),
}

/// What a removal came to.
#[derive(Debug)]
pub(in crate::supervisor) enum Removal {
    /// All that was asked for is gone.
    Complete,
    /// The package is gone, the data is not.
    DataLeft(Arc<io::Error>),
}

/// A request with where its answer goes.
#[derive(Debug)]
pub(in crate::supervisor) enum Request<T: Parts> {
    Mount(Container, Reply<Result<(), Error>>),
    Umount(Container, Reply<Result<(), Error>>),
    Start(Container, StartOverrides, Reply<Result<(), Error>>),
    Kill(Container, i32, Reply<Result<(), Error>>),
    Uninstall(Container, Wipe, Reply<Result<(), Error>>),
    Commit(Container, T::Staged, Reply<Result<Container, Error>>),
}

impl<T: Parts> Request<T> {
    fn ask(&self) -> Ask<'_> {
        match self {
            Request::Mount(container, _) => Ask::Mount(container),
            Request::Umount(container, _) => Ask::Umount(container),
            Request::Start(container, overrides, _) => Ask::Start(container, overrides),
            Request::Kill(container, signal, _) => Ask::Kill(container, *signal),
            Request::Uninstall(container, wipe, _) => Ask::Uninstall(container, *wipe),
            Request::Commit(container, ..) => Ask::Commit(container),
        }
    }

    /// Whoever asked does not want it any more.
    fn is_cancelled(&self) -> bool {
        match self {
            Request::Mount(_, reply)
            | Request::Umount(_, reply)
            | Request::Start(_, _, reply)
            | Request::Kill(_, _, reply)
            | Request::Uninstall(_, _, reply) => reply.is_cancelled(),
            Request::Commit(_, _, reply) => reply.is_cancelled(),
        }
    }

    fn deny(self, error: Error) {
        match self {
            Request::Mount(_, reply)
            | Request::Umount(_, reply)
            | Request::Start(_, _, reply)
            | Request::Kill(_, _, reply)
            | Request::Uninstall(_, _, reply) => answer(reply, Err(error)),
            Request::Commit(_, staged, reply) => {
                // First: who has the answer finds nothing left.
                drop(staged);
                answer(reply, Err(error));
            }
        }
    }
}

/// Gives the one answer. That nobody waits for it any more is none of the supervisor's business.
pub(in crate::supervisor) fn answer<A>(reply: Reply<A>, answer: A) {
    let _ = reply.send(answer);
}

/// All state of the supervisor.
#[derive(Debug)]
pub(in crate::supervisor) struct Machine<W: Workshop> {
    pub(in crate::supervisor) registry: Registry<W>,
    pub(in crate::supervisor) workshop: W,
    /// Requests that met a transition, in the order of their arrival.
    waiting: VecDeque<Request<W>>,
    /// No more work is taken, what rests is taken down, and what comes up nevertheless gets this signal.
    closing: Option<i32>,
    /// A critical container that ended badly.
    critical: Option<(Container, ExitStatus)>,
}

impl<W: Workshop> Machine<W> {
    pub(in crate::supervisor) fn new(workshop: W) -> Machine<W> {
        Machine {
            registry: Registry::default(),
            workshop,
            waiting: VecDeque::new(),
            closing: None,
            critical: None,
        }
    }

    /// A critical container that ended badly since the last call.
    pub(in crate::supervisor) fn take_critical(&mut self) -> Option<(Container, ExitStatus)> {
        self.critical.take()
    }
}
