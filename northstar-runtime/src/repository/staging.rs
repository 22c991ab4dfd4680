//! An install: the bytes of one package on their way into a repository.
//!
//! ```text
//! Repository::stage --> Staging --write*, finish--> Staged --commit--> InstalledPackage --> Repository::insert
//! ```
//!
//! Each phase is a type that undoes itself when it is dropped: the file is deleted and the room given back. Bytes are
//! written and checked on blocking threads, in pieces of [`PIECE`] after a first, smaller one; between two pieces an
//! install occupies no thread, however slow its sender is. What was written is hashed beside that.

use std::{fs::File, mem, sync::Arc};

use bytes::{Bytes, BytesMut};
use northstar_manifest::{Container, Manifest};
use northstar_npk::Package;

use super::{
    InstallError, InstalledPackage,
    capacity::Share,
    hashing::Hashing,
    store::{Location, Store},
    writer::Writer,
};
use crate::storage::{ImageSource, Integrity};

/// How many bytes are collected before they are written, except for the last ones.
const PIECE: usize = 1024 * 1024;
/// How many the first are, which show whether it is a package and whether there is room for it.
const FIRST_PIECE: usize = 64 * 1024;
/// From how many bytes on what is taken is kept as it came.
const LARGE: usize = 64 * 1024;

/// An install that takes bytes.
#[derive(Debug)]
pub struct Staging {
    /// `None` while a blocking thread has it and after an error.
    writer: Option<Box<Writer>>,
    /// What was taken and is not written yet, before `small`.
    pending: Vec<Bytes>,
    /// The last few bytes of that, copied: as they came they would keep the buffers they were received in, however few of
    /// them there are in each.
    small: BytesMut,
    /// How many bytes both are, less than [`PIECE`].
    length: usize,
    /// From the first piece of the image on, if packages have to be signed.
    hashing: Option<Hashing>,
}

/// A complete, verified and durable package that is not in the repository yet.
#[derive(Debug)]
pub struct Staged {
    // The file goes before its room is given back.
    pub(super) location: Location,
    pub(super) file: File,
    pub(super) share: Share,
    pub(super) store: Arc<Store>,
    pub(super) package: Package,
    pub(super) size: u64,
}

impl Staging {
    pub(super) fn new(store: Arc<Store>, share: Share, declared: u64) -> Self {
        Self {
            writer: Some(Box::new(Writer::new(store, share, declared))),
            pending: Vec::new(),
            small: BytesMut::new(),
            length: 0,
            hashing: None,
        }
    }

    /// Takes the next bytes of the package.
    ///
    /// # Errors
    ///
    /// The first excess byte, the first byte that shows that this is not an acceptable package, or a failed write.
    /// An error ends the install: everything after it is answered by [`InstallError::Ended`].
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), InstallError> {
        if self.writer.is_none() {
            return Err(InstallError::Ended);
        }
        self.length = self.length.saturating_add(bytes.len());
        if bytes.len() < LARGE {
            self.small.extend_from_slice(&bytes);
        } else {
            self.close_small();
            self.pending.push(bytes);
        }
        let is_first = self
            .writer
            .as_ref()
            .is_some_and(|writer| writer.position() == 0);
        if self.length >= if is_first { FIRST_PIECE } else { PIECE } {
            self.flush().await?;
        }
        Ok(())
    }

    /// All bytes were given: checks the package as a whole and makes its content durable.
    ///
    /// # Errors
    ///
    /// See [`InstallError`]; nothing of the package is left.
    pub async fn finish(mut self) -> Result<Staged, InstallError> {
        self.flush().await?;
        let writer = self.writer.take().ok_or(InstallError::Ended)?;
        let arrived = match self.hashing.take() {
            Some(hashing) => Some(hashing.end().await?),
            None => None,
        };
        blocking(move || writer.finish(arrived)).await
    }

    /// Puts the small bytes in their place behind the large ones.
    fn close_small(&mut self) {
        if !self.small.is_empty() {
            self.pending.push(mem::take(&mut self.small).freeze());
        }
    }

    /// Writes what was collected.
    async fn flush(&mut self) -> Result<(), InstallError> {
        self.close_small();
        if self.pending.is_empty() {
            return Ok(());
        }
        self.length = 0;
        let pending = mem::take(&mut self.pending);
        let mut writer = self.writer.take().ok_or(InstallError::Ended)?;
        let position = writer.position();
        let written = pending.clone();
        // If this future is dropped the thread finishes its piece, and the install is undone there.
        let mut writer = blocking(move || {
            writer.write(&pending)?;
            Ok(writer)
        })
        .await?;
        if self.hashing.is_none() {
            self.hashing = writer.image().map(Hashing::new);
        }
        if let Some(hashing) = &mut self.hashing {
            hashing.add(position, written).await?;
        }
        self.writer = Some(writer);
        Ok(())
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
            store,
            share,
            location,
            file,
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

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, InstallError> + Send + 'static,
) -> Result<T, InstallError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(InstallError::Ended))
}
