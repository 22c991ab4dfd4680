//! What a [`Handle`](super::Handle) asks of the driver. Every command carries where its one answer goes.

use super::{Asker, Error, Inspection, InstallSlot, Job, StartOverrides, Usage};
use crate::repository::RepositoryId;
use northstar_manifest::Container;
use tokio::sync::oneshot;

/// Where the one answer of a command goes. The asker may be gone: then nobody misses the answer.
#[derive(Debug)]
pub struct Reply<T> {
    sender: oneshot::Sender<T>,
    job: Job,
    asker: Asker,
}

impl<T> Reply<T> {
    /// A reply and where it arrives.
    pub(super) fn channel(job: Job) -> (Reply<T>, oneshot::Receiver<T>) {
        let (sender, receiver) = oneshot::channel();
        let asker = Asker::default();
        (Reply { sender, job, asker }, receiver)
    }

    /// The same reply, asked for by `asker`.
    pub(super) fn by(self, asker: Asker) -> Reply<T> {
        Reply { asker, ..self }
    }

    /// Gives the answer; hands it back if nobody waits for it.
    pub fn send(self, answer: T) -> Result<(), T> {
        self.sender.send(answer)
    }

    /// Whoever asked does not want it any more. It still waits for the answer.
    pub(super) fn is_cancelled(&self) -> bool {
        self.job.is_cancelled()
    }

    /// Nobody waits for the answer any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.sender.is_closed()
    }

    /// Who asked.
    pub fn asker(&self) -> Asker {
        self.asker.clone()
    }

    /// The job that this is the end of.
    pub fn job(&self) -> Job {
        self.job.clone()
    }
}

/// One request to the driver.
#[derive(Debug)]
pub(super) enum Command {
    List(Reply<std::sync::Arc<[Container]>>),
    Repositories(Reply<Vec<RepositoryId>>),
    Inspect(Container, Reply<Result<Inspection, Error>>),
    Statistics(Vec<Container>, Reply<Vec<Usage>>),
    Mount(Container, Reply<Result<(), Error>>),
    Umount(Container, Reply<Result<(), Error>>),
    Start(Container, StartOverrides, Reply<Result<(), Error>>),
    Kill(Container, i32, Reply<Result<(), Error>>),
    Install(RepositoryId, u64, Reply<Result<InstallSlot, Error>>),
    Uninstall(Container, Wipe, Reply<Result<(), Error>>),
    /// A job was cancelled: its request is to be looked at again.
    Cancelled,
    Shutdown,
}

/// Whether `uninstall` removes the persistent data too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wipe {
    Keep,
    Remove,
}
