//! Uploads: from the bytes that a console delivers to a package that wants to become visible.

use super::{
    Error,
    driver::Uploads,
    install::{InstallSlot, Part, Upload},
    machine::{Request, answer},
    works::Works,
};
use crate::{
    config::RepositoryId,
    repository::{InstallError, Staging},
};
use std::sync::Arc;
use tokio::sync::mpsc;

impl Uploads for Works {
    fn begin(&self, repository: &RepositoryId, size: u64) -> Result<InstallSlot, Error> {
        let Some(found) = self.repositories.get(repository) else {
            return Err(Error::InvalidRepository {
                repository: repository.clone(),
            });
        };
        let staging = found
            .stage(size)
            .map_err(|error| install_error(repository.clone(), error))?;
        let (slot, upload) = InstallSlot::new(repository.clone());
        tokio::spawn(receive(
            repository.clone(),
            staging,
            upload,
            self.uploads.clone(),
        ));
        Ok(slot)
    }
}

/// Takes an upload into its staging and hands it to the driver when it is complete and verified.
async fn receive(
    repository: RepositoryId,
    mut staging: Staging,
    upload: Upload,
    driver: mpsc::UnboundedSender<Request<Works>>,
) {
    let Upload { mut parts, outcome } = upload;
    let staged = loop {
        let result = match parts.recv().await {
            Some(Part::Chunk(chunk)) => staging.write(chunk).await,
            Some(Part::End) => break staging.finish().await,
            // The uploader is gone, and nobody waits for an answer.
            None => return,
        };
        if let Err(error) = result {
            break Err(error);
        }
    };
    // From here on the uploader is told that nothing more is wanted.
    drop(parts);
    match staged {
        Ok(staged) => {
            let container = staged.container();
            let _ = driver.send(Request::Commit(container, (repository, staged), outcome));
        }
        Err(error) => answer(outcome, Err(install_error(repository, error))),
    }
}

pub(super) fn install_error(repository: RepositoryId, error: InstallError) -> Error {
    match error {
        InstallError::Duplicate { container, .. } => Error::InstallDuplicate { container },
        error => Error::Install {
            repository,
            source: Arc::new(error),
        },
    }
}
