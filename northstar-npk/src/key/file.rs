//! Reading and writing key files.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::{KEY_SIZE, KeyError};

pub(super) fn has_extension(path: &Path, wanted: &str) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case(wanted))
}

pub(super) fn read_exactly(path: &Path) -> Result<Zeroizing<[u8; KEY_SIZE]>, KeyError> {
    let read = |source| KeyError::Read {
        path: path.to_owned(),
        source,
    };
    // One byte more than a key, so that a longer file is told from a key without reading it all.
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_SIZE + 1));
    File::open(path)
        .and_then(|file| file.take(KEY_SIZE as u64 + 1).read_to_end(&mut bytes))
        .map_err(read)?;
    let key: &[u8; KEY_SIZE] = bytes.as_slice().try_into().map_err(|_| KeyError::Length {
        path: path.to_owned(),
    })?;
    Ok(Zeroizing::new(*key))
}

pub(super) fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), KeyError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => KeyError::Exists {
                path: path.to_owned(),
            },
            _ => KeyError::Write {
                path: path.to_owned(),
                source,
            },
        })?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(|source| {
            let _ = std::fs::remove_file(path);
            KeyError::Write {
                path: path.to_owned(),
                source,
            }
        })
}
