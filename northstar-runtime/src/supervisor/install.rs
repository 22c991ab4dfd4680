//! An install as its uploader sees it: a place to put the bytes, chunk by chunk.
//!
//! The bytes go through a short channel to a task of their own that writes and hashes them, so that neither the
//! driver nor any other client waits for an upload. Dropping the slot aborts: the task sees the channel close
//! before [`Part::End`] and throws the staged bytes away.

use super::{Error, Job, command::Reply};
use crate::repository::RepositoryId;
use bytes::Bytes;
use northstar_manifest::Container;
use tokio::sync::{mpsc, oneshot};

/// Chunks between the connection and the disk: enough to overlap reading and writing, little enough to not matter.
const CHUNKS_IN_FLIGHT: usize = 8;

/// One piece of an upload.
#[derive(Debug)]
pub(super) enum Part {
    Chunk(Bytes),
    /// All bytes were sent.
    End,
}

/// Where the bytes of one package go.
#[derive(Debug)]
pub struct InstallSlot {
    repository: RepositoryId,
    parts: mpsc::Sender<Part>,
    outcome: oneshot::Receiver<Result<Container, Error>>,
    job: Job,
    /// The outcome, once it was received: it is given out once more by `finish`.
    failed: Option<Error>,
}

/// The other end of an [`InstallSlot`].
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) parts: mpsc::Receiver<Part>,
    pub(super) outcome: Reply<Result<Container, Error>>,
}

impl InstallSlot {
    pub(super) fn new(repository: RepositoryId, job: Job) -> (InstallSlot, Upload) {
        let (parts, receiver) = mpsc::channel(CHUNKS_IN_FLIGHT);
        let (reply, outcome) = Reply::channel(job.clone());
        let slot = InstallSlot {
            repository,
            parts,
            outcome,
            job,
            failed: None,
        };
        (
            slot,
            Upload {
                parts: receiver,
                outcome: reply,
            },
        )
    }

    /// Takes the next bytes. An error is final; the caller reads and throws away what still comes.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let size = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        if self.parts.send(Part::Chunk(chunk)).await.is_ok() {
            self.job.advance(size);
            return Ok(());
        }
        let error = match (&mut self.outcome).await {
            Ok(Err(error)) => error,
            // The task ended without a word or before the end of the upload.
            Ok(Ok(_)) | Err(_) => Error::InstallAbandoned {
                repository: self.repository.clone(),
            },
        };
        self.failed = Some(error.clone());
        Err(error)
    }

    /// All bytes are there: the package is verified, stored durably and registered.
    pub async fn finish(self) -> Result<Container, Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        // If the task has ended already its outcome says why.
        let _ = self.parts.send(Part::End).await;
        match self.outcome.await {
            Ok(result) => result,
            Err(_) => Err(Error::InstallAbandoned {
                repository: self.repository,
            }),
        }
    }
}
