//! An install: the bytes of one package on their way into a repository.
//!
//! ```text
//! Repository::stage --> Staging --write*, finish--> Staged --commit--> InstalledPackage --> Repository::insert
//! ```
//!
//! Each phase is a type that undoes itself when it is dropped: the file is deleted and the room given back. Pieces are
//! checked, written and hashed on blocking threads while the next ones come. An install for which nothing comes occupies
//! no thread, however slow its sender is.

use std::{fs::File, sync::Arc};

use bytes::Bytes;
use northstar_manifest::{Container, Manifest};
use northstar_npk::Package;

use super::{
    InstallError, InstalledPackage,
    capacity::Share,
    hashing::Hashing,
    store::{Place, Store},
    worker::Worker,
    writer::Writer,
};
use crate::storage::{ImageSource, Integrity};

/// How many pieces may wait to be written, or to be hashed, before their sender has to.
const AHEAD: usize = 2;

/// An install that takes bytes.
#[derive(Debug)]
pub struct Staging {
    /// How many bytes were taken.
    position: u64,
    writer: Worker<Writer>,
    /// From the first piece of the image on, if packages have to be signed.
    hashing: Option<Worker<Hashing>>,
    is_keyed: bool,
}

/// A complete, verified and durable package that is not in the repository yet.
#[derive(Debug)]
pub struct Staged {
    // Closed before its place is given up.
    pub(super) file: File,
    pub(super) place: Place,
    pub(super) store: Arc<Store>,
    pub(super) package: Package,
    pub(super) size: u64,
}

impl Staging {
    pub(super) fn new(store: Arc<Store>, share: Share, declared: u64) -> Self {
        let is_keyed = store.key.is_some();
        Self {
            position: 0,
            writer: Worker::new(Writer::new(store, share, declared), AHEAD),
            hashing: None,
            is_keyed,
        }
    }

    /// Takes the next bytes of the package. Each such piece is a few hand-overs and a system call, so it should be large.
    /// If the future is dropped before it is done, the install cannot go on.
    ///
    /// # Errors
    ///
    /// The first excess byte, the first byte that shows that this is not an acceptable package, or a failed write. What
    /// is wrong with the first piece, or with what comes before the image of a signed package, is told at once, anything
    /// else with one of the next pieces. An error ends the install: everything after it is answered by
    /// [`InstallError::Ended`].
    pub async fn write(&mut self, piece: Bytes) -> Result<(), InstallError> {
        let position = self.position;
        self.position = position.saturating_add(piece.len() as u64);
        self.writer.push(piece.clone()).await?;
        if position == 0 || (self.is_keyed && self.hashing.is_none()) {
            let image = self.writer.settle().await?.image();
            self.hashing = image.map(|image| Worker::new(Hashing { image, position }, AHEAD));
        }
        if let Some(hashing) = &mut self.hashing {
            hashing.push(piece).await?;
        }
        Ok(())
    }

    /// All bytes were given: checks the package as a whole and makes its content durable.
    ///
    /// # Errors
    ///
    /// See [`InstallError`]; nothing of the package is left.
    pub async fn finish(self) -> Result<Staged, InstallError> {
        let writer = self.writer.into_work().await?;
        let written = blocking(move || writer.finish()).await?;
        written.finish(self.hashing).await
    }

    /// Ends the install; nothing of the package is left. If this is dropped instead, a thread that writes a piece ends
    /// it a little later, and what has to be deleted may be deleted here.
    pub async fn abandon(self) {
        self.writer.abandon().await;
    }
}

impl Staged {
    /// Name and version of the package.
    pub fn container(&self) -> Container {
        self.package.container()
    }

    /// The manifest of the package.
    pub fn manifest(&self) -> &Manifest {
        self.package.manifest()
    }

    /// Puts the package into the repository, durably. It is in the repository's directory afterwards, and known to
    /// the daemon once it was given to [`Repository::insert`](super::Repository::insert).
    ///
    /// # Errors
    ///
    /// [`InstallError::Duplicate`] if a repository has this name and version; a failed system call. Nothing of the
    /// package is left.
    pub async fn commit(self) -> Result<InstalledPackage, InstallError> {
        blocking(move || self.commit_blocking()).await
    }

    fn commit_blocking(self) -> Result<InstalledPackage, InstallError> {
        let Self {
            file,
            place,
            store,
            package,
            size,
        } = self;
        let container = package.container();
        let claim = store
            .claims
            .claim(&container, &store.repository)
            .map_err(|first| InstallError::Duplicate {
                container: container.clone(),
                first,
            })?;
        let Place { location, share } = place;
        let entry = location.publish(&container)?;
        Ok(store.installed(package, file, size, entry, share, claim))
    }
}

impl Store {
    /// A package in its final place.
    pub(super) fn installed(
        &self,
        package: Package,
        file: File,
        size: u64,
        entry: Option<std::ffi::OsString>,
        share: Share,
        claim: super::capacity::Claim,
    ) -> InstalledPackage {
        let mut image = package.image().clone();
        if self.integrity == Integrity::None {
            // Without a key these are the package's own words.
            image.verity = None;
        }
        InstalledPackage {
            container: package.container(),
            manifest: Arc::new(package.into_manifest()),
            repository: self.repository.clone(),
            integrity: self.integrity,
            source: ImageSource {
                file: Arc::new(file),
                image,
            },
            size,
            entry,
            _share: share,
            _claim: claim,
        }
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, InstallError> + Send + 'static,
) -> Result<T, InstallError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(InstallError::Ended))
}
