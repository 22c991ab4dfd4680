//! Uploads: from the bytes that a console delivers to a package that wants to become visible.

use super::{
    Error, Job,
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
    fn begin(&self, repository: &RepositoryId, size: u64, job: Job) -> Result<InstallSlot, Error> {
        let Some(found) = self.repositories.get(repository) else {
            return Err(Error::InvalidRepository {
                repository: repository.clone(),
            });
        };
        let limit = self.max_installs;
        let Ok(place) = Arc::clone(&self.installs).try_acquire_owned() else {
            return Err(Error::TooManyInstalls { limit });
        };
        let staging = found
            .stage(size)
            .map_err(|error| install_error(repository.clone(), error))?;
        job.begin(size);
        let (slot, upload) = InstallSlot::new(repository.clone(), job);
        let driver = self.uploads.clone();
        let repository = repository.clone();
        tokio::spawn(async move {
            receive(repository, staging, upload, driver).await;
            drop(place);
        });
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
            Some(Part::Piece(piece)) => staging.write(piece).await,
            Some(Part::End) => break staging.finish().await,
            // The uploader is gone, and nobody waits for an answer.
            None => return staging.abandon().await,
        };
        if let Err(error) = result {
            // First: who has the answer finds nothing left.
            staging.abandon().await;
            break Err(error);
        }
    };
    // From here on the uploader is told that nothing more is wanted.
    drop(parts);
    match staged {
        Ok(staged) if outcome.is_cancelled() => {
            // First: who has the answer finds nothing left.
            drop(staged);
            answer(outcome, Err(Error::Cancelled));
        }
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
