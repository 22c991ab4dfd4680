//! Hashing the image of an upload beside its writing.

use std::mem;

use bytes::Bytes;
use northstar_npk::verity::ArrivingImage;
use tokio::task::{JoinHandle, spawn_blocking};

use super::InstallError;

/// How many written bytes may wait to be hashed before their sender has to.
const BEHIND: usize = 2 * 1024 * 1024;

/// The image of an upload, which is hashed on one blocking thread at a time, and on none while nothing arrives.
#[derive(Debug)]
pub(super) struct Hashing {
    /// `None` after an error.
    image: Option<Image>,
    waiting: Pieces,
    /// How many bytes those are.
    length: usize,
}

#[derive(Debug)]
enum Image {
    Here(Box<ArrivingImage>),
    OnThread(JoinHandle<Box<ArrivingImage>>),
}

/// Bytes and where they are in the package, in order.
type Pieces = Vec<(u64, Bytes)>;

/// An image that is hashed but for its last bytes.
#[derive(Debug)]
pub(super) struct Arrived {
    image: Box<ArrivingImage>,
    waiting: Pieces,
}

impl Hashing {
    pub(super) fn new(image: ArrivingImage) -> Hashing {
        Hashing {
            image: Some(Image::Here(Box::new(image))),
            waiting: Pieces::new(),
            length: 0,
        }
    }

    /// Takes bytes that were written from `position` on. This waits only if they come faster than they can be hashed.
    ///
    /// # Errors
    ///
    /// [`InstallError::Ended`] if the thread has ended without a result.
    pub(super) async fn add(
        &mut self,
        mut position: u64,
        pieces: Vec<Bytes>,
    ) -> Result<(), InstallError> {
        for bytes in pieces {
            let size = bytes.len();
            self.waiting.push((position, bytes));
            self.length = self.length.saturating_add(size);
            position = position.saturating_add(size as u64);
        }
        let is_busy = matches!(&self.image, Some(Image::OnThread(thread)) if !thread.is_finished());
        if is_busy && self.length < BEHIND {
            return Ok(());
        }
        let image = self.image().await?;
        let waiting = mem::take(&mut self.waiting);
        self.length = 0;
        self.image = Some(Image::OnThread(spawn_blocking(|| hash(image, waiting))));
        Ok(())
    }

    /// All bytes were given.
    ///
    /// # Errors
    ///
    /// [`InstallError::Ended`] if the thread has ended without a result.
    pub(super) async fn end(mut self) -> Result<Arrived, InstallError> {
        Ok(Arrived {
            image: self.image().await?,
            waiting: self.waiting,
        })
    }

    async fn image(&mut self) -> Result<Box<ArrivingImage>, InstallError> {
        match self.image.take() {
            Some(Image::Here(image)) => Ok(image),
            Some(Image::OnThread(thread)) => thread.await.map_err(|_| InstallError::Ended),
            None => Err(InstallError::Ended),
        }
    }
}

impl Arrived {
    /// Hashes what is left.
    pub(super) fn complete(self) -> ArrivingImage {
        *hash(self.image, self.waiting)
    }
}

fn hash(mut image: Box<ArrivingImage>, pieces: Pieces) -> Box<ArrivingImage> {
    for (position, bytes) in pieces {
        image.update(position, &bytes);
    }
    image
}
