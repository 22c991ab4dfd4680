//! Reading the files of an image.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{Contents, EntryKind, SquashfsError, list};
use crate::package::Image;
use crate::signature::Hash;

/// The content of the regular file at `path` in the image, or `None` if there is none.
///
/// A file of more than `limit` bytes is an error.
pub fn read_file(
    file: &File,
    image: &Image,
    path: &Path,
    limit: u64,
) -> Result<Option<Vec<u8>>, SquashfsError> {
    let entries = list(file, image)?;
    let found = entries.iter().position(|entry| entry.path == path);
    let size = found.and_then(|index| match entries.get(index)?.kind {
        EntryKind::File { size } => Some((index, size)),
        _ => None,
    });
    let Some((index, size)) = size else {
        return Ok(None);
    };
    let failed = |source| SquashfsError::ReadFile {
        path: path.to_owned(),
        source,
    };
    if size > limit {
        let message = format!("{size} bytes are more than {limit}");
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, message)));
    }
    let mut contents = Contents::open(file, image)?;
    let mut content = Vec::new();
    // What the image says of the size is only believed up to the limit.
    let mut data = contents.read(index)?.take(limit.saturating_add(1));
    data.read_to_end(&mut content).map_err(failed)?;
    if content.len() as u64 > limit {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    Ok(Some(content))
}

/// The SHA-256 of every regular file in the image, by its path.
pub fn hash_files(file: &File, image: &Image) -> Result<BTreeMap<PathBuf, Hash>, SquashfsError> {
    let entries = list(file, image)?;
    let mut contents = Contents::open(file, image)?;
    let mut hashes = BTreeMap::new();
    let mut buffer = vec![0; 128 * 1024];
    for (index, entry) in entries.into_iter().enumerate() {
        if !matches!(entry.kind, EntryKind::File { .. }) {
            continue;
        }
        let hash = digest(&mut contents.read(index)?, &mut buffer);
        let hash = hash.map_err(|source| SquashfsError::ReadFile {
            path: entry.path.clone(),
            source,
        })?;
        hashes.insert(entry.path, hash);
    }
    Ok(hashes)
}

fn digest(data: &mut impl Read, buffer: &mut [u8]) -> io::Result<Hash> {
    let mut hasher = Sha256::new();
    loop {
        match data.read(buffer)? {
            0 => return Ok(hasher.finalize().into()),
            read => hasher.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}
