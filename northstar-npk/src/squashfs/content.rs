//! Reading the files of an image.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use backhand::{FilesystemReader, InnerNode, SquashfsFileReader};
use sha2::{Digest, Sha256};

use super::{SquashfsError, open};
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
    let reader = open(file, image)?;
    let node = reader.files().find(|node| node.fullpath == path);
    let Some(InnerNode::File(found)) = node.map(|node| &node.inner) else {
        return Ok(None);
    };
    let failed = |source| SquashfsError::ReadFile {
        path: path.to_owned(),
        source,
    };
    if found.file_len() as u64 > limit {
        let message = format!("{} bytes are more than {limit}", found.file_len());
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, message)));
    }
    let mut content = Vec::new();
    // What the image says of the size is only believed up to the limit.
    stream(&reader, found, |data| {
        let data = data.take(limit.saturating_add(1));
        std::io::BufReader::new(data).read_to_end(&mut content)
    })
    .map_err(failed)?;
    if content.len() as u64 > limit {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    Ok(Some(content))
}

/// The SHA-256 of every regular file in the image, by its path.
pub fn hash_files(file: &File, image: &Image) -> Result<BTreeMap<PathBuf, Hash>, SquashfsError> {
    let reader = open(file, image)?;
    let mut hashes = BTreeMap::new();
    let mut buffer = vec![0; 128 * 1024];
    for node in reader.files() {
        let InnerNode::File(found) = &node.inner else {
            continue;
        };
        let hash = stream(&reader, found, |data| digest(data, &mut buffer));
        let hash = hash.map_err(|source| SquashfsError::ReadFile {
            path: node.fullpath.clone(),
            source,
        })?;
        hashes.insert(node.fullpath.clone(), hash);
    }
    Ok(hashes)
}

fn stream<T>(
    reader: &FilesystemReader<'_>,
    file: &SquashfsFileReader,
    read: impl FnOnce(&mut dyn Read) -> io::Result<T>,
) -> io::Result<T> {
    let mut data = reader
        .file(file)
        .reader_checked()
        .map_err(io::Error::other)?;
    read(&mut data)
}

fn digest(data: &mut dyn Read, buffer: &mut [u8]) -> io::Result<Hash> {
    let mut hasher = Sha256::new();
    loop {
        match data.read(buffer)? {
            0 => return Ok(hasher.finalize().into()),
            read => hasher.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}
