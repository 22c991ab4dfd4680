//! Writing an archive in the current layout.

use std::io::{self, Read, Write};

use super::layout::Frame;
use super::{ArchiveError, EntryName, ImageEntry, Layout, Record};

/// Writes a package to `out` and returns where in it the image is.
///
/// `image` yields the content of `fs.img`, of which size and CRC-32 are known before, because
/// they stand in front of it.
pub(crate) fn write(
    out: &mut impl Write,
    comment: &[u8],
    manifest: &[u8],
    signature: Option<&[u8]>,
    image: &mut impl Read,
    image_size: u64,
    image_crc32: u32,
) -> Result<ImageEntry, ArchiveError> {
    let small = |name, content: &[u8]| {
        Record::new(name, content.len() as u64, crc32fast::hash(content))
    };
    let mut records = vec![small(EntryName::Manifest, manifest)?];
    if let Some(signature) = signature {
        records.push(small(EntryName::Signature, signature)?);
    }
    records.push(Record::new(EntryName::Image, image_size, image_crc32)?);
    let frame = Frame::new(Layout::Current, &records, comment)?;

    let mut placed = ImageEntry {
        offset: 0,
        size: image_size,
        crc32: image_crc32,
    };
    for entry in &frame.entries {
        put(out, "local header", &entry.header)?;
        match entry.record.name {
            EntryName::Manifest => put(out, "manifest.yaml", manifest)?,
            EntryName::Signature => put(out, "signature.yaml", signature.unwrap_or_default())?,
            EntryName::Image => {
                copy(image, out, image_size)?;
                placed.offset = entry.data_offset;
            }
        }
    }
    put(out, "central directory", &frame.directory)?;
    Ok(placed)
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
