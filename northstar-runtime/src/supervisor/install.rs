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

    /// Room for the next bytes, at least for one. [`InstallSlot::advance`] follows.
    pub fn room(&mut self) -> Limit<&mut Vec<u8>> {
        self.pieces.room()
    }

    /// Takes what was put where there is room, `size` bytes. An error is final; the caller reads and throws away what
    /// still comes.
    pub async fn advance(&mut self, size: usize) -> Result<(), Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if self.parts.is_closed() {
            return Err(self.refused().await);
        }
        if let Some(piece) = self.pieces.complete() {
            self.send(piece).await?;
        }
        self.job.advance(u64::try_from(size).unwrap_or(u64::MAX));
        Ok(())
    }

    async fn send(&mut self, piece: Bytes) -> Result<(), Error> {
        match self.parts.send(Part::Piece(piece)).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.refused().await),
        }
    }

    /// Why nothing more is wanted.
    async fn refused(&mut self) -> Error {
        // There is nothing more to collect.
        self.pieces = Pieces::default();
        let error = match (&mut self.outcome).await {
            Ok(Err(error)) => error,
            // The task ended without a word or before the end of the upload.
            Ok(Ok(_)) | Err(_) => Error::InstallAbandoned {
                repository: self.repository.clone(),
            },
        };
        self.failed = Some(error.clone());
        error
    }

    /// All bytes are there: the package is verified, stored durably and registered.
    pub async fn finish(mut self) -> Result<Container, Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if let Some(piece) = self.pieces.rest() {
            self.send(piece).await?;
        }
        // What follows takes its time, and needs no memory to collect bytes in.
        self.pieces = Pieces::default();
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

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BufMut;

    #[tokio::test]
    async fn a_refusal_is_noticed_with_the_next_byte() {
        let repository: RepositoryId = "r".parse().unwrap();
        let (mut slot, upload) = InstallSlot::new(repository.clone(), Job::default());
        slot.room().put_slice(b"no package");
        slot.advance(10).await.unwrap();
        let refusal = Error::InvalidRepository {
            repository: repository.clone(),
        };
        upload.outcome.send(Err(refusal)).unwrap();
        drop(upload.parts);
        slot.room().put_slice(b"x");
        // With it, and with whatever follows.
        for _ in 0..2 {
            let error = slot.advance(1).await.unwrap_err();
            assert!(
                matches!(error, Error::InvalidRepository { .. }),
                "{error:?}"
            );
        }
        let error = slot.finish().await.unwrap_err();
        assert!(
            matches!(error, Error::InvalidRepository { .. }),
            "{error:?}"
        );

        let (mut slot, upload) = InstallSlot::new(repository, Job::default());
        drop(upload);
        slot.room().put_slice(b"x");
        let error = slot.advance(1).await.unwrap_err();
        assert!(matches!(error, Error::InstallAbandoned { .. }), "{error:?}");
    }
}
