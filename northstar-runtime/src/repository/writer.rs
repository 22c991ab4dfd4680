//! The blocking half of an install: bytes are checked, written, and at the end made durable.

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::{AsFd, AsRawFd},
    sync::Arc,
};

use northstar_npk::{
    Package, StreamVerifier,
    key::PublicKey,
    verity::{ArrivingImage, verify_image},
};
use rustix::io::Errno;
use tokio::task::spawn_blocking;

use super::{
    InstallError,
    capacity::Share,
    hashing::Hashing,
    staging::{Staged, blocking},
    store::{Location, Place, Store},
    worker::{Work, Worker},
};

/// After how many bytes the kernel is asked to begin with their way to the disk.
const WRITEBACK: u64 = 4 * 1024 * 1024;

/// Where the bytes of one install go.
#[derive(Debug)]
pub(super) struct Writer {
    /// Made with the first bytes. It goes before its room is given back.
    file: Option<(Location, File)>,
    share: Share,
    store: Arc<Store>,
    declared: u64,
    received: u64,
    /// How many bytes are on their way to the disk.
    begun: u64,
    verifier: StreamVerifier,
}

/// All bytes of one install.
#[derive(Debug)]
pub(super) struct Written {
    // Closed before its place is given up.
    file: File,
    /// What is checked is what can be read back, through the descriptor that is used for ever after.
    reader: File,
    place: Place,
    store: Arc<Store>,
    size: u64,
}

impl Writer {
    pub(super) fn new(store: Arc<Store>, share: Share, declared: u64) -> Self {
        let verifier = StreamVerifier::new(store.key.clone());
        Self {
            file: None,
            share,
            store,
            declared,
            received: 0,
            begun: 0,
            verifier,
        }
    }

    /// What hashes the image from here on, or from an earlier byte of it; once, if the package has to be signed.
    pub(super) fn image(&mut self) -> Option<ArrivingImage> {
        self.verifier.image()
    }

    /// Checks that the package is complete, and that nothing follows it.
    pub(super) fn finish(self) -> Result<Written, InstallError> {
        let Self {
            store,
            share,
            declared,
            received,
            verifier,
            file,
            begun: _,
        } = self;
        let Some((location, file)) = file.filter(|_| received == declared) else {
            return Err(InstallError::TooShort { declared, received });
        };
        verifier.finish().map_err(InstallError::Package)?;
        let reader = location.reopen(&file)?;
        Ok(Written {
            file,
            reader,
            place: Place { location, share },
            store,
            size: declared,
        })
    }
}

impl Written {
    /// Checks the package as a whole and makes it durable, at the same time. `hashing` was given all bytes, if it is
    /// there.
    pub(super) async fn finish(
        self,
        hashing: Option<Worker<Hashing>>,
    ) -> Result<Staged, InstallError> {
        let Self {
            file,
            reader,
            place,
            store,
            size,
        } = self;
        let syncing = place
            .location
            .is_on_disk()
            .then(|| spawn_blocking(move || rustix::fs::fsync(&file)));
        let hashed = match hashing {
            Some(hashing) => hashing.into_work().await.map(|work| Some(work.image)),
            None => Ok(None),
        };
        let key = store.key.clone();
        let checked = blocking(move || {
            let package = check(key.as_ref(), &reader, hashed?)?;
            Ok((package, reader))
        })
        .await;
        let synced = match syncing {
            Some(syncing) => match syncing.await {
                Ok(synced) => synced.map_err(|error| place.location.error("fsync", size, error)),
                Err(_) => Err(InstallError::Ended),
            },
            None => Ok(()),
        };
        // A disk that fails may also show as an image that is not the signed one, so it has the first word.
        match synced.and(checked) {
            Ok((package, file)) => Ok(Staged {
                file,
                place,
                store,
                package,
                size,
            }),
            Err(error) => {
                // Deleting a large file takes its time.
                blocking(move || {
                    drop(place);
                    Err(error)
                })
                .await
            }
        }
    }
}

impl Work for Writer {
    /// Checks and writes the next bytes.
    fn take(&mut self, piece: &[u8]) -> Result<(), InstallError> {
        let received = self.received.saturating_add(piece.len() as u64);
        if received > self.declared {
            return Err(InstallError::TooLong {
                declared: self.declared,
            });
        }
        // What is not going to be a package is not written.
        self.verifier.update(piece).map_err(InstallError::Package)?;
        let (location, file) = match &mut self.file {
            Some(file) => file,
            None => self
                .file
                .insert(Location::create(&self.store, self.declared)?),
        };
        file.write_all(piece)
            .map_err(|error| location.write_error(self.declared, error))?;
        self.received = received;
        let waiting = received.saturating_sub(self.begun);
        if waiting >= WRITEBACK {
            // Only to have less to wait for at the end: what fails here fails again there.
            let _ = northstar_sys::writeback::begin(file.as_fd(), self.begun, waiting);
            self.begun = received;
        }
        Ok(())
    }
}

/// Reads a package and verifies its image.
fn check(
    key: Option<&PublicKey>,
    file: &File,
    arrived: Option<ArrivingImage>,
) -> Result<Package, InstallError> {
    let package = Package::open(file, key).map_err(InstallError::Package)?;
    if key.is_some() {
        match arrived {
            Some(arrived) => arrived.verify(file, package.image()),
            None => verify_image(file, package.image()),
        }
        .map_err(InstallError::Image)?;
    }
    Ok(package)
}

impl Location {
    fn write_error(&self, size: u64, error: io::Error) -> InstallError {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        self.error("write", size, errno)
    }

    /// Gives a descriptor that cannot write; nothing else can write to a file in memory from here on.
    fn reopen(&self, file: &File) -> Result<File, InstallError> {
        match self {
            Self::File {
                directory, name, ..
            } => directory.reopen(name),
            Self::Memory => {
                northstar_sys::memfd::seal(file.as_fd())
                    .map_err(|error| self.memory_error("fcntl F_ADD_SEALS", error))?;
                File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).map_err(|source| {
                    InstallError::Io {
                        operation: "open",
                        path: "memfd".into(),
                        source,
                    }
                })
            }
        }
    }
}
