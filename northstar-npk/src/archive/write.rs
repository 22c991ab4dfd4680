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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::path::Path;

    use super::*;
    use crate::archive::Archive;

    /// Everything the reference packer wrote in this layout comes out as the same bytes.
    #[test]
    fn reference_packages_are_written_byte_for_byte() {
        for name in [
            "app-gzip.npk",
            "resource-gzip.npk",
            "resource-lzo.npk",
            "resource-unsigned.npk",
            "resource-xz.npk",
            "resource-zstd.npk",
        ] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/fixtures")
                .join(name);
            let file = File::open(&path).unwrap();
            let archive = Archive::read(&file).unwrap();
            let mut image = vec![0; archive.image.size as usize];
            file.read_exact_at(&mut image, archive.image.offset)
                .unwrap();
            let contents = Contents {
                comment: &archive.comment,
                manifest: &archive.manifest,
                signature: archive.signature.as_deref(),
                image_size: archive.image.size,
                image_crc32: crc32fast::hash(&image),
            };
            let mut written = Vec::new();
            write(&mut written, &contents, &mut image.as_slice()).unwrap();
            assert!(written == std::fs::read(&path).unwrap(), "{name} differs");
        }
    }

    #[test]
    fn an_image_that_ends_early_is_an_error() {
        let contents = Contents {
            comment: b"",
            manifest: b"name: a",
            signature: None,
            image_size: 4096,
            image_crc32: 0,
        };
        let result = write(&mut Vec::new(), &contents, &mut [0; 4095].as_slice());
        assert!(matches!(
            result,
            Err(ArchiveError::Write { what: "fs.img", source })
                if source.kind() == io::ErrorKind::UnexpectedEof
        ));
    }
}
