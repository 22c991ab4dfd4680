//! A supervisor that a test plays: the other end of a [`Handle`], question by question.
//!
//! For tests of this crate, and with the feature `played` for those of others.

use super::{
    Error, Handle, Inspection, InstallSlot, Job, RepositoryFacts, StartOverrides, Usage,
    command::{Command, Wipe},
    handle,
    install::{Part, Upload},
};
use crate::config::RepositoryId;
use northstar_manifest::Container;
use std::{num::NonZeroUsize, sync::Arc};
use tokio::sync::mpsc;

pub use super::{command::Reply, journal::Publisher};

/// Where the answer to a question without data goes.
pub type Done = Reply<Result<(), Error>>;

/// A question of a [`Handle`], and where its answer goes.
#[derive(Debug)]
pub enum Asked {
    /// [`Handle::list`]
    List(Reply<Arc<[Container]>>),
    /// [`Handle::repositories`]
    Repositories(Reply<Vec<RepositoryId>>),
    /// [`Handle::inspect`]
    Inspect(Container, Reply<Result<Inspection, Error>>),
    /// [`Handle::statistics`]
    Statistics(Vec<Container>, Reply<Vec<Usage>>),
    /// One container of [`Handle::mount`].
    Mount(Container, Done),
    /// One container of [`Handle::umount`].
    Umount(Container, Done),
    /// [`Handle::start`]
    Start(Container, StartOverrides, Done),
    /// [`Handle::kill`], with the signal.
    Kill(Container, i32, Done),
    /// [`Handle::install`], with the size in bytes.
    Install(RepositoryId, u64, Reply<Result<InstallSlot, Error>>),
    /// [`Handle::uninstall`], and whether data is wiped.
    Uninstall(Container, bool, Done),
    /// [`Handle::cancelled`]
    Cancelled,
    /// [`Handle::shutdown`]
    Shutdown,
}

/// The played supervisor.
#[derive(Debug)]
pub struct Script {
    commands: mpsc::Receiver<Command>,
    /// Where it tells what happens.
    pub events: Publisher,
}

/// The far end of an [`InstallSlot`].
#[derive(Debug)]
pub struct Uploading(Upload);

/// A handle and who answers it. `events` is the number of events kept for a slow receiver.
pub fn script(events: usize, repositories: &[RepositoryFacts]) -> (Handle, Script) {
    let (sender, commands) = mpsc::channel(64);
    let events = Publisher::new(events);
    let limits = handle::Limits {
        parallel: NonZeroUsize::MIN.saturating_add(1),
        max_installs: NonZeroUsize::MIN.saturating_add(7),
    };
    let handle = Handle::new(sender, events.journal(), limits, repositories.into());
    (handle, Script { commands, events })
}

/// A slot to answer [`Asked::Install`] with, and its far end.
pub fn upload(repository: RepositoryId, job: Job) -> (InstallSlot, Uploading) {
    let (slot, upload) = InstallSlot::new(repository, job);
    (slot, Uploading(upload))
}

impl Script {
    /// The next question; `None` when nobody can ask any more.
    pub async fn next(&mut self) -> Option<Asked> {
        Some(match self.commands.recv().await? {
            Command::List(reply) => Asked::List(reply),
            Command::Repositories(reply) => Asked::Repositories(reply),
            Command::Inspect(container, reply) => Asked::Inspect(container, reply),
            Command::Statistics(containers, reply) => Asked::Statistics(containers, reply),
            Command::Cancelled => Asked::Cancelled,
            Command::Mount(container, reply) => Asked::Mount(container, reply),
            Command::Umount(container, reply) => Asked::Umount(container, reply),
            Command::Start(container, overrides, reply) => {
                Asked::Start(container, overrides, reply)
            }
            Command::Kill(container, signal, reply) => Asked::Kill(container, signal, reply),
            Command::Install(repository, size, reply) => Asked::Install(repository, size, reply),
            Command::Uninstall(container, wipe, reply) => {
                Asked::Uninstall(container, wipe == Wipe::Remove, reply)
            }
            Command::Shutdown => Asked::Shutdown,
        })
    }
}

impl Uploading {
    /// Takes everything up to the end of the upload and answers with `outcome`. `None` if the upload was aborted.
    pub async fn finish(self, outcome: Result<Container, Error>) -> Option<Vec<u8>> {
        let Upload {
            mut parts,
            outcome: reply,
        } = self.0;
        let mut bytes = Vec::new();
        while let Some(part) = parts.recv().await {
            match part {
                Part::Piece(piece) => bytes.extend_from_slice(&piece),
                Part::End => {
                    // The uploader may be gone.
                    let _ = reply.send(outcome);
                    return Some(bytes);
                }
            }
        }
        None
    }

    /// Refuses the rest of the upload.
    pub fn refuse(self, error: Error) {
        // The uploader may be gone.
        let _ = self.0.outcome.send(Err(error));
    }
}
