//! What a [`Handle`](super::Handle) asks of the driver. Every command carries where its one answer goes.

use super::{Error, Inspection, InstallSlot, StartOverrides};
use crate::repository::RepositoryId;
use northstar_manifest::Container;
use tokio::sync::oneshot;

/// Where the one answer of a command goes. The asker may be gone: then nobody misses the answer.
pub(super) type Reply<T> = oneshot::Sender<T>;

/// One request to the driver.
#[derive(Debug)]
pub(super) enum Command {
    List(Reply<Vec<Container>>),
    Repositories(Reply<Vec<RepositoryId>>),
    Inspect(Container, Reply<Result<Inspection, Error>>),
    Mount(Container, Reply<Result<(), Error>>),
    Umount(Container, Reply<Result<(), Error>>),
    Start(Container, StartOverrides, Reply<Result<(), Error>>),
    Kill(Container, i32, Reply<Result<(), Error>>),
    Install(RepositoryId, u64, Reply<Result<InstallSlot, Error>>),
    Uninstall(Container, Wipe, Reply<Result<(), Error>>),
    Shutdown,
}

/// Whether `uninstall` removes the persistent data too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wipe {
    Keep,
    Remove,
}
