//! An install: the bytes of one package on their way into a repository.
//!
//! ```text
//! Repository::stage --> Staging --write*, finish--> Staged --commit--> InstalledPackage --> Repository::insert
//! ```
//!
//! Each phase is a type that undoes itself when it is dropped: the file is deleted and the room given back. Bytes are
//! written and checked on blocking threads, in pieces of [`PIECE`]; between two pieces an install occupies no thread,
//! however slow its sender is.

use std::{
    fs::File,
    io::{self, Write},
    mem,
    os::fd::AsFd,
    sync::Arc,
};

use bytes::Bytes;
use northstar_manifest::{Container, Manifest};
use northstar_npk::{Package, StreamVerifier, verity::verify_image};
use rustix::io::Errno;

use super::{
    InstallError, InstalledPackage,
    capacity::Share,
    store::{Location, Store},
};
use crate::storage::{ImageSource, Integrity};

/// How many bytes are collected before they are written, except for the last ones.
const PIECE: usize = 256 * 1024;

/// An install that takes bytes.
#[derive(Debug)]
pub struct Staging {
    /// `None` while a blocking thread has it and after an error.
    writer: Option<Box<Writer>>,
    /// A copy of what was taken and is not written yet, at most [`PIECE`]: bytes kept as they came would keep the
    /// buffers they were received in, however few of them there are in each.
    pending: Vec<u8>,
}

/// A complete, verified and durable package that is not in the repository yet.
#[derive(Debug)]
pub struct Staged {
    // The file goes before its room is given back.
    location: Location,
    file: File,
    share: Share,
    store: Arc<Store>,
    package: Package,
    size: u64,
}

impl Staging {
    pub(super) fn new(store: Arc<Store>, share: Share, declared: u64) -> Self {
        let verifier = StreamVerifier::new(store.key.clone());
        let writer = Writer {
            store,
            share,
            declared,
            received: 0,
            verifier,
            file: None,
        };
        Self {
            writer: Some(Box::new(writer)),
            pending: Vec::new(),
        }
    }

    /// Takes the next bytes of the package.
    ///
    /// # Errors
    ///
    /// The first excess byte, the first byte that shows that this is not an acceptable package, or a failed write.
    /// An error ends the install: everything after it is answered by [`InstallError::Ended`].
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), InstallError> {
        if self.writer.is_none() {
            return Err(InstallError::Ended);
        }
        while !bytes.is_empty() {
            let room = PIECE.saturating_sub(self.pending.len());
            self.pending.reserve_exact(room);
            let fits = bytes.split_to(bytes.len().min(room));
            self.pending.extend_from_slice(&fits);
            if self.pending.len() >= PIECE {
                self.flush().await?;
            }
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
        blocking(move || writer.finish()).await
    }

    async fn flush(&mut self) -> Result<(), InstallError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut writer = self.writer.take().ok_or(InstallError::Ended)?;
        let mut pending = mem::take(&mut self.pending);
        // If this future is dropped the thread finishes its piece, and the install is undone there.
        let (writer, pending) = blocking(move || {
            writer.write(&pending)?;
            pending.clear();
            Ok((writer, pending))
        })
        .await?;
        self.writer = Some(writer);
        self.pending = pending;
        Ok(())
    }
}

/// The blocking half of a [`Staging`].
#[derive(Debug)]
struct Writer {
    /// Made with the first bytes. It goes before its room is given back.
    file: Option<(Location, File)>,
    share: Share,
    store: Arc<Store>,
    declared: u64,
    received: u64,
    verifier: StreamVerifier,
}

impl Writer {
    fn write(&mut self, bytes: &[u8]) -> Result<(), InstallError> {
        let received = self.received.saturating_add(bytes.len() as u64);
        if received > self.declared {
            return Err(InstallError::TooLong {
                declared: self.declared,
            });
        }
        // What is not going to be a package is not written.
        self.verifier.update(bytes).map_err(InstallError::Package)?;
        let (location, file) = match &mut self.file {
            Some(file) => file,
            None => self
                .file
                .insert(Location::create(&self.store, self.declared)?),
        };
        file.write_all(bytes)
            .map_err(|error| location.write_error(self.declared, error))?;
        self.received = received;
        Ok(())
    }

    fn finish(self) -> Result<Staged, InstallError> {
        let Self {
            store,
            share,
            declared,
            received,
            verifier,
            file,
        } = self;
        let Some((location, file)) = file.filter(|_| received == declared) else {
            return Err(InstallError::TooShort { declared, received });
        };
        verifier.finish().map_err(InstallError::Package)?;
        // What is checked from here on is what can be read back, through the descriptor that is used for ever after.
        let file = location.seal(file)?;
        let package = Package::open(&file, store.key.as_ref()).map_err(InstallError::Package)?;
        if store.key.is_some() {
            verify_image(&file, package.image()).map_err(InstallError::Image)?;
        }
        Ok(Staged {
            store,
            share,
            location,
            file,
            package,
            size: declared,
        })
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

impl Location {
    fn write_error(&self, size: u64, error: io::Error) -> InstallError {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        self.error("write", size, errno)
    }

    /// Makes the content durable and final, and gives a descriptor that cannot write.
    fn seal(&self, file: File) -> Result<File, InstallError> {
        match self {
            Self::File {
                directory, name, ..
            } => {
                rustix::fs::fsync(&file)
                    .map_err(|error| directory.install_error("fsync", name, error))?;
                directory.reopen(name)
            }
            Self::Memory => {
                northstar_sys::memfd::seal(file.as_fd())
                    .map_err(|error| self.memory_error("fcntl F_ADD_SEALS", error))?;
                reopen_memory(&file).map_err(|source| InstallError::Io {
                    operation: "open",
                    path: "memfd".into(),
                    source,
                })
            }
        }
    }
}

/// Opens a memory file once more, read-only.
fn reopen_memory(file: &File) -> io::Result<File> {
    use std::os::fd::AsRawFd;
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, InstallError> + Send + 'static,
) -> Result<T, InstallError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(InstallError::Ended))
}
