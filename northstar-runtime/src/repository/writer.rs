//! The blocking half of an install: bytes are checked, written, and at the end made durable.

use std::{
    fs::File,
    io::{self, IoSlice, Write},
    os::fd::{AsFd, AsRawFd},
    sync::Arc,
    thread,
};

use bytes::Bytes;
use northstar_npk::{
    Package, StreamVerifier,
    verity::{ArrivingImage, verify_image},
};
use rustix::io::Errno;

use super::{
    InstallError,
    capacity::Share,
    hashing::Arrived,
    staging::Staged,
    store::{Location, Store},
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

    /// Checks and writes the next bytes.
    pub(super) fn write(&mut self, pieces: &[Bytes]) -> Result<(), InstallError> {
        let size = pieces.iter().map(|bytes| bytes.len() as u64).sum();
        let received = self.received.saturating_add(size);
        if received > self.declared {
            return Err(InstallError::TooLong {
                declared: self.declared,
            });
        }
        // What is not going to be a package is not written.
        for bytes in pieces {
            self.verifier.update(bytes).map_err(InstallError::Package)?;
        }
        let (location, file) = match &mut self.file {
            Some(file) => file,
            None => self
                .file
                .insert(Location::create(&self.store, self.declared)?),
        };
        write_all(file, pieces).map_err(|error| location.write_error(self.declared, error))?;
        self.received = received;
        let waiting = received.saturating_sub(self.begun);
        if waiting >= WRITEBACK {
            // Only to have less to wait for at the end: what fails here fails again there.
            let _ = northstar_sys::writeback::begin(file.as_fd(), self.begun, waiting);
            self.begun = received;
        }
        Ok(())
    }

    /// How many bytes were written.
    pub(super) fn position(&self) -> u64 {
        self.received
    }

    /// What hashes the image from here on, or from an earlier byte of it; once, if the package has to be signed.
    pub(super) fn image(&mut self) -> Option<ArrivingImage> {
        self.verifier.image()
    }

    /// Checks the package as a whole and makes it durable, at the same time. `arrived` was given all bytes, if it is there.
    pub(super) fn finish(self, arrived: Option<Arrived>) -> Result<Staged, InstallError> {
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
        // What is checked from here on is what can be read back, through the descriptor that is used for ever after.
        let reader = location.reopen(&file)?;
        let (synced, checked) = thread::scope(|scope| {
            let sync = || location.sync(&file);
            match thread::Builder::new().spawn_scoped(scope, sync) {
                Ok(syncing) => {
                    let checked = check(&store, &reader, arrived);
                    (syncing.join().unwrap_or(Err(InstallError::Ended)), checked)
                }
                // A thread the system does not give is not needed.
                Err(_) => (sync(), check(&store, &reader, arrived)),
            }
        });
        // A disk that fails may also show as an image that is not the signed one, so it has the first word.
        synced?;
        let package = checked?;
        Ok(Staged {
            store,
            share,
            location,
            file: reader,
            package,
            size: declared,
        })
    }
}

/// Writes all of `pieces` with as few calls as possible: a file system takes many pages at once for less than the same
/// pages one by one.
fn write_all(file: &mut File, pieces: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|bytes| IoSlice::new(bytes)).collect();
    let mut left = slices.as_mut_slice();
    // Without this, only empty slices would be left in the end.
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match file.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads a package and verifies its image.
fn check(store: &Store, file: &File, arrived: Option<Arrived>) -> Result<Package, InstallError> {
    let package = Package::open(file, store.key.as_ref()).map_err(InstallError::Package)?;
    if store.key.is_some() {
        match arrived {
            Some(arrived) => arrived.complete().verify(file, package.image()),
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

    /// Makes the content durable.
    fn sync(&self, file: &File) -> Result<(), InstallError> {
        match self {
            Self::File {
                directory, name, ..
            } => rustix::fs::fsync(file)
                .map_err(|error| directory.install_error("fsync", name, error)),
            Self::Memory => Ok(()),
        }
    }
}
