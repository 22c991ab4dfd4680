//! Hashing the image of an upload beside its writing.

use northstar_npk::verity::ArrivingImage;

use super::{InstallError, worker::Work};

/// The image of an upload, which takes the bytes of the package from `position` on.
#[derive(Debug)]
pub(super) struct Hashing {
    pub(super) image: ArrivingImage,
    pub(super) position: u64,
}

impl Work for Hashing {
    fn take(&mut self, piece: &[u8]) -> Result<(), InstallError> {
        self.image.update(self.position, piece);
        self.position = self.position.saturating_add(piece.len() as u64);
        Ok(())
    }
}
