//! A supervisor that a test plays: the other end of a [`Handle`], question by question.

use super::{
    Error, Handle, Inspection, InstallSlot, Job, Protection, Publisher, RepositoryFacts,
    StartOverrides, Usage,
    command::{Command, Reply, Wipe},
    handle,
    install::{Part, Upload},
};
use crate::config::RepositoryId;
use northstar_manifest::Container;
use std::num::NonZeroUsize;
use tokio::sync::mpsc;

/// Where the answer to a question without data goes.
pub(crate) type Done = Reply<Result<(), Error>>;

/// A question of a [`Handle`], and where its answer goes.
#[derive(Debug)]
pub(crate) enum Asked {
    List(Reply<std::sync::Arc<[Container]>>),
    Repositories(Reply<Vec<RepositoryId>>),
    Inspect(Container, Reply<Result<Inspection, Error>>),
    Statistics(Vec<Container>, Reply<Vec<Usage>>),
    Mount(Container, Done),
    Umount(Container, Done),
    Start(Container, StartOverrides, Done),
    Kill(Container, i32, Done),
    Install(RepositoryId, u64, Reply<Result<InstallSlot, Error>>),
    Uninstall(Container, bool, Done),
    Cancelled,
    Shutdown,
}

/// The played supervisor.
#[derive(Debug)]
pub(crate) struct Script {
    commands: mpsc::Receiver<Command>,
    pub(crate) events: Publisher,
}

/// The far end of an [`InstallSlot`].
#[derive(Debug)]
pub(crate) struct Uploading(Upload);

/// A handle and who answers it. `events` is the number of events kept for a slow receiver.
pub(crate) fn script(events: usize) -> (Handle, Script) {
    let (sender, commands) = mpsc::channel(64);
    let events = Publisher::new(events);
    let limits = handle::Limits {
        parallel: NonZeroUsize::MIN.saturating_add(1),
        max_installs: NonZeroUsize::MIN.saturating_add(7),
    };
    let facts = |name: &str, in_memory| RepositoryFacts {
        id: RepositoryId::try_from(name.to_owned()).unwrap(),
        in_memory,
        protection: if in_memory {
            Protection::None
        } else {
            Protection::DmVerity
        },
    };
    let repositories = [facts("default", false), facts("deaf", true)];
    let handle = Handle::new(sender, events.journal(), limits, repositories.into());
    (handle, Script { commands, events })
}

/// A slot to answer [`Asked::Install`] with, and its far end.
pub(crate) fn upload(repository: RepositoryId, job: Job) -> (InstallSlot, Uploading) {
    let (slot, upload) = InstallSlot::new(repository, job);
    (slot, Uploading(upload))
}

impl Script {
    /// The next question; `None` when nobody can ask any more.
    pub(crate) async fn next(&mut self) -> Option<Asked> {
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
    pub(crate) async fn finish(self, outcome: Result<Container, Error>) -> Option<Vec<u8>> {
        let Upload {
            mut parts,
            outcome: reply,
        } = self.0;
        let mut bytes = Vec::new();
        while let Some(part) = parts.recv().await {
            match part {
                Part::Chunk(chunk) => bytes.extend_from_slice(&chunk),
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
    pub(crate) fn refuse(self, error: Error) {
        // The uploader may be gone.
        let _ = self.0.outcome.send(Err(error));
    }
}
