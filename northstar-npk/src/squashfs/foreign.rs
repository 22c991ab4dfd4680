//! Images that were made elsewhere.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use northstar_manifest::{Manifest, Mount};

use super::contents::Contents;
use super::read::{Entry, entry, open};
use super::superblock::Superblock;
use super::{EntryKind, SquashfsError};
use crate::limits::{BLOCK_U64, PIECE};
use crate::package::Image;
use crate::parallel::on_all_cores;
use crate::progress::Counter;

/// Copies the image in `path` into the empty file `out` and pads it to whole blocks. Returns its
/// size in bytes.
///
/// What comes after the image may only be padding: zeros.
pub(crate) fn copy(path: &Path, out: &File, counter: &Counter<'_>) -> Result<u64, SquashfsError> {
    let failed = |error| SquashfsError::source(path, error);
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let superblock = Superblock::read(&file, 0, size)?;
    let mut buffer = vec![0; PIECE as usize];
    let mut at = 0;
    while at < size {
        let piece = (size - at).min(PIECE) as usize;
        let piece = buffer.get_mut(..piece).unwrap_or_default();
        file.read_exact_at(piece, at).map_err(failed)?;
        let inside = superblock
            .bytes_used
            .saturating_sub(at)
            .min(piece.len() as u64);
        let (image, padding) = piece
            .split_at_checked(inside as usize)
            .unwrap_or((piece, &[]));
        if let Some(first) = padding.iter().position(|&byte| byte != 0) {
            return Err(SquashfsError::TrailingData {
                path: path.to_owned(),
                offset: at + inside + first as u64,
            });
        }
        out.write_all_at(image, at)
            .map_err(SquashfsError::WriteFile)?;
        at += piece.len() as u64;
        counter.add(piece.len() as u64);
    }
    let padded = superblock.bytes_used.next_multiple_of(BLOCK_U64);
    out.set_len(padded).map_err(SquashfsError::WriteFile)?;
    Ok(padded)
}

/// Checks that the whole image in `file` can be read, and has the mount points of `manifest`.
pub(crate) fn check(
    file: &File,
    image: &Image,
    manifest: &Manifest,
    counter: &Counter<'_>,
) -> Result<(), SquashfsError> {
    let reader = open(file, image)?;
    let entries: Vec<_> = reader.files().map(entry).collect();
    drop(reader);
    check_mount_points(&entries, manifest)?;
    const GROUP: usize = 64;
    let groups = entries.len().div_ceil(GROUP) as u64;
    let done = on_all_cores(
        groups,
        || Contents::open(file, image),
        |contents, group| {
            let first = group as usize * GROUP;
            let group = entries.iter().enumerate().skip(first).take(GROUP);
            for (index, entry) in group {
                if let EntryKind::File { size } = entry.kind {
                    let mut content = contents.read(index)?;
                    read_all(&mut content, size, counter).map_err(|source| {
                        SquashfsError::ReadFile {
                            path: entry.path.clone(),
                            source,
                        }
                    })?;
                }
            }
            Ok(())
        },
    );
    done.map(drop)
}

/// Reads to the end, which has to come after `size` bytes.
fn read_all(reader: &mut impl Read, size: u64, counter: &Counter<'_>) -> io::Result<()> {
    let mut buffer = vec![0; 128 * 1024];
    let mut left = size;
    loop {
        let read = reader.read(&mut buffer)? as u64;
        counter.add(read);
        match left.checked_sub(read) {
            Some(0) if read == 0 => return Ok(()),
            Some(rest) if read > 0 => left = rest,
            _ => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

fn check_mount_points(entries: &[Entry], manifest: &Manifest) -> Result<(), SquashfsError> {
    let kinds: BTreeMap<_, _> = entries
        .iter()
        .map(|entry| (entry.path.as_path(), &entry.kind))
        .collect();
    for (mount_point, mount) in &manifest.mounts {
        let mount_point = mount_point.clone();
        match (kinds.get(mount_point.as_path()), mount) {
            (None, _) => return Err(SquashfsError::MountPointMissing { mount_point }),
            (Some(EntryKind::Directory), _)
            | (Some(EntryKind::File { .. }), Mount::Bind { .. }) => {}
            _ => return Err(SquashfsError::MountPoint { mount_point }),
        }
    }
    Ok(())
}
