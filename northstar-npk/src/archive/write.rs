//! Writing an archive in the current layout.

use std::io::{self, Read, Write};

use super::layout::Frame;
use super::{ArchiveError, EntryName, Layout, Record};

/// What goes into a package, except for the bytes of the image.
#[derive(Debug)]
pub(crate) struct Contents<'a> {
    pub comment: &'a [u8],
    pub manifest: &'a [u8],
    pub signature: Option<&'a [u8]>,
    /// Size in bytes and checksum of `fs.img`, which stand in front of it.
    pub image_size: u64,
    pub image_crc32: u32,
}

/// Writes a package to `out`, with the content of `fs.img` from `image`.
pub(crate) fn write(
    out: &mut impl Write,
    contents: &Contents<'_>,
    image: &mut impl Read,
) -> Result<(), ArchiveError> {
    let Contents {
        comment,
        manifest,
        signature,
        image_size,
        image_crc32,
    } = *contents;
    let small =
        |name, content: &[u8]| Record::new(name, content.len() as u64, crc32fast::hash(content));
    let mut records = vec![small(EntryName::Manifest, manifest)?];
    if let Some(signature) = signature {
        records.push(small(EntryName::Signature, signature)?);
    }
    records.push(Record::new(EntryName::Image, image_size, image_crc32)?);
    let frame = Frame::new(Layout::Current, &records, comment)?;

    for entry in &frame.entries {
        put(out, "local header", &entry.header)?;
        match entry.record.name {
            EntryName::Manifest => put(out, "manifest.yaml", manifest)?,
            EntryName::Signature => put(out, "signature.yaml", signature.unwrap_or_default())?,
            EntryName::Image => copy(image, out, image_size)?,
        }
    }
    put(out, "central directory", &frame.directory)
}

fn put(out: &mut impl Write, what: &'static str, bytes: &[u8]) -> Result<(), ArchiveError> {
    out.write_all(bytes)
        .map_err(|source| ArchiveError::Write { what, source })
}

fn copy(image: &mut impl Read, out: &mut impl Write, size: u64) -> Result<(), ArchiveError> {
    let failed = |source| ArchiveError::Write {
        what: "fs.img",
        source,
    };
    let copied = io::copy(&mut image.take(size), out).map_err(failed)?;
    if copied != size {
        return Err(failed(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(())
}
