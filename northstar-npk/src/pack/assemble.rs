//! Putting an archive around manifest, signature and image.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};

use crate::archive::{self, ArchiveError};
use crate::key::PublicKey;
use crate::limits::PIECE;
use crate::package::{OpenError, Package};
use crate::progress::{Counter, Report, Stage};
use crate::section::Section;
use crate::signature::Hashes;
use crate::verity;
use crate::version::{self, FORMAT_VERSION};

/// The content of `fs.img`: a part of a file, and what comes after it.
#[derive(Debug)]
pub(crate) struct Payload<'a> {
    pub file: &'a File,
    /// Where the part begins in bytes.
    pub offset: u64,
    /// How many bytes it has.
    pub size: u64,
    /// Superblock and hash tree, unless the part has them.
    pub tail: &'a [u8],
    /// Of part and tail.
    pub crc32: u32,
}

/// The comment of the packages that are written here.
pub(crate) fn comment() -> Vec<u8> {
    version::comment(&FORMAT_VERSION)
}

/// The hashes of a package with this manifest, comment and tree.
pub(crate) fn hashes(manifest: &[u8], root_hash: [u8; 32], squashfs_size: u64) -> Hashes {
    Hashes {
        meta: crate::signature::sha256(&comment()),
        manifest: crate::signature::sha256(manifest),
        verity_root: root_hash,
        verity_offset: squashfs_size,
    }
}

/// Writes a package into `out`.
pub(crate) fn write(
    out: &File,
    manifest: &[u8],
    signature: Option<&[u8]>,
    payload: &Payload<'_>,
    report: Option<Report<'_>>,
) -> Result<(), ArchiveError> {
    let failed = |source| ArchiveError::Write {
        what: "fs.img",
        source,
    };
    let size = payload.size + payload.tail.len() as u64;
    let part = Section::new(payload.file, payload.offset, payload.size);
    let counter = Counter::new(report, Stage::Archive, size);
    let mut image = Counted {
        inner: part.chain(payload.tail),
        counter: &counter,
    };
    let mut out = BufWriter::with_capacity(PIECE as usize, out);
    let contents = archive::Contents {
        comment: &comment(),
        manifest,
        signature,
        image_size: size,
        image_crc32: payload.crc32,
    };
    archive::write(&mut out, &contents, &mut image)?;
    out.flush().map_err(failed)?;
    counter.finish();
    Ok(())
}

/// Opens a written package as the daemon will, and checks its image against the signature.
pub(crate) fn check(file: &File, key: Option<&PublicKey>) -> Result<Package, OpenError> {
    let package = Package::open(file, key)?;
    if package.image().verity.is_some() {
        verity::verify_image(file, package.image())?;
    }
    Ok(package)
}

/// A reader whose bytes are counted.
struct Counted<'a, R> {
    inner: R,
    counter: &'a Counter<'a>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.counter.add(read as u64);
        Ok(read)
    }
}
