//! An install as its uploader sees it: room for the next bytes, again and again.
//!
//! The bytes go, in pieces, through a short channel to a task of their own that writes and hashes them, so that neither the
//! driver nor any other client waits for an upload. Dropping the slot aborts: the task sees the channel close
//! before [`Part::End`] and throws the staged bytes away.

use super::{Error, Job, command::Reply, pieces::Pieces};
use crate::repository::RepositoryId;
use bytes::{Bytes, buf::Limit};
use northstar_manifest::Container;
use tokio::sync::{mpsc, oneshot};

/// Pieces between the connection and the task: more may wait for the disk.
const PIECES_IN_FLIGHT: usize = 1;

/// What an upload consists of.
#[derive(Debug)]
pub(super) enum Part {
    Piece(Bytes),
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
    pieces: Pieces,
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
        let (parts, receiver) = mpsc::channel(PIECES_IN_FLIGHT);
        let (reply, outcome) = Reply::channel(job.clone());
        let slot = InstallSlot {
            repository,
            parts,
            outcome,
            job,
            pieces: Pieces::default(),
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

    /// Room for the next bytes, at least for one. What is put there counts from the next [`InstallSlot::advance`] on.
    pub fn room(&mut self) -> Limit<&mut Vec<u8>> {
        self.pieces.room()
    }

    /// Takes the `size` bytes that were put where there is room. An error is final; the caller reads and throws away
    /// what still comes.
    pub async fn advance(&mut self, size: usize) -> Result<(), Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if let Some(piece) = self.pieces.complete() {
            self.send(Part::Piece(piece)).await?;
        }
        self.job.advance(u64::try_from(size).unwrap_or(u64::MAX));
        Ok(())
    }

    async fn send(&mut self, part: Part) -> Result<(), Error> {
        if self.parts.send(part).await.is_ok() {
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
    pub async fn finish(mut self) -> Result<Container, Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if let Some(piece) = self.pieces.rest() {
            self.send(Part::Piece(piece)).await?;
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
