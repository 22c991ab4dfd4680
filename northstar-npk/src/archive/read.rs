//! Reading: find the end, take sizes and checksums from the directory, compare all else.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::layout::{DIRECTORY_LIMIT, END_RECORD_SIZE, END_SIGNATURE, Frame};
use super::parse::{Fields, Stated, first_difference, parse_central};
use super::{ArchiveError, EntryName, ImageEntry, Layout, Record};
use crate::checksum::Checksums;
use crate::limits;

/// An archive whose every byte is accounted for, with the small contents read.
///
/// Nothing in here is authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// The form the headers have.
    pub layout: Layout,
    /// The archive comment.
    pub comment: Vec<u8>,
    /// Content of `manifest.yaml`.
    pub manifest: Vec<u8>,
    /// Content of `signature.yaml`, if the package has one.
    pub signature: Option<Vec<u8>>,
    /// Where `fs.img` is.
    pub image: ImageEntry,
}

impl Archive {
    /// Reads the archive in `file` with positioned reads, all but the image.
    ///
    /// At most about 90 KiB are read, however large the file is. The file offset stays untouched.
    pub fn read(file: &File) -> Result<Archive, ArchiveError> {
        let read_failed = |source| ArchiveError::Read {
            what: "file size",
            offset: 0,
            source,
        };
        let size = file.metadata().map_err(read_failed)?.len();
        let end = EndRecord::read(file, size)?;
        let directory = end.read_directory(file)?;
        let (layout, records) = parse_directory(&directory, end.entries)?;

        let frame = Frame::new(layout, &records, &end.comment)?;
        end.compare(&directory, &frame)?;
        let contents = Contents::read(file, &frame)?;
        contents.into_archive(layout, end.comment)
    }

    /// Reads all of the image in `file` and compares it with the checksum in the archive.
    ///
    /// Nobody vouches for that checksum. It is there for other ZIP readers, and for unsigned
    /// packages it is all there is.
    pub fn check_image(&self, file: &File) -> Result<(), ArchiveError> {
        self.checksums(file).map(drop)
    }

    /// [`Archive::check_image`], with what was computed.
    pub(crate) fn checksums(&self, file: &File) -> Result<Checksums, ArchiveError> {
        let ImageEntry {
            offset,
            size,
            crc32,
        } = self.image;
        let checksums =
            Checksums::read(file, offset, size).map_err(|source| ArchiveError::Read {
                what: "fs.img",
                offset,
                source,
            })?;
        match checksums.all.clone().finalize() == crc32 {
            true => Ok(checksums),
            false => Err(ArchiveError::Checksum {
                entry: EntryName::Image,
            }),
        }
    }
}

/// The end record, as far as it does not follow from the rest.
struct EndRecord {
    /// Offset of the record in the file.
    offset: u64,
    entries: u16,
    directory_offset: u64,
    /// The record itself with the comment.
    bytes: Vec<u8>,
    comment: Vec<u8>,
}

impl EndRecord {
    fn read(file: &File, file_size: u64) -> Result<EndRecord, ArchiveError> {
        let longest = (END_RECORD_SIZE + limits::COMMENT) as u64;
        let tail_size = file_size.min(longest);
        let tail_offset = file_size - tail_size;
        let tail = read_at(file, tail_offset, tail_size, "end record")?;
        // A comment that holds the signature again is none that names a version, so the last one
        // is the record, and there is only one way to read the file.
        let signature = END_SIGNATURE.to_le_bytes();
        let start = tail
            .windows(signature.len())
            .rposition(|window| window == signature)
            .ok_or(ArchiveError::NoEnd)?;
        let bytes = tail.get(start..).unwrap_or_default();
        Self::parse(bytes, tail_offset + start as u64).ok_or(ArchiveError::NoEnd)
    }

    fn parse(bytes: &[u8], offset: u64) -> Option<EndRecord> {
        let mut fields = Fields(bytes);
        fields.bytes(8)?; // signature, disk numbers
        let entries = fields.u16()?;
        fields.bytes(6)?; // entries in total, size of the directory
        let directory_offset = fields.u32()?.into();
        let comment_size = fields.u16()?;
        let comment = fields.bytes(comment_size.into())?.to_vec();
        fields.0.is_empty().then(|| EndRecord {
            offset,
            entries,
            directory_offset,
            bytes: bytes.to_vec(),
            comment,
        })
    }

    fn read_directory(&self, file: &File) -> Result<Vec<u8>, ArchiveError> {
        if !(2..=3).contains(&self.entries) {
            return Err(ArchiveError::EntryCount {
                found: self.entries,
            });
        }
        let size = self.offset.saturating_sub(self.directory_offset);
        if size == 0 || size > DIRECTORY_LIMIT {
            return Err(ArchiveError::Directory {
                offset: self.directory_offset,
                size,
            });
        }
        read_at(file, self.directory_offset, size, "central directory")
    }

    fn compare(&self, directory: &[u8], frame: &Frame) -> Result<(), ArchiveError> {
        if self.directory_offset != frame.directory_offset {
            return Err(ArchiveError::Directory {
                offset: self.directory_offset,
                size: self.offset.saturating_sub(self.directory_offset),
            });
        }
        frame.compare_directory(directory, &self.bytes)
    }
}

fn parse_directory(bytes: &[u8], count: u16) -> Result<(Layout, Vec<Record>), ArchiveError> {
    let expected: &[EntryName] = match count {
        2 => &[EntryName::Manifest, EntryName::Image],
        _ => &[EntryName::Manifest, EntryName::Signature, EntryName::Image],
    };
    let mut fields = Fields(bytes);
    let mut layout = None;
    let mut records = Vec::with_capacity(expected.len());
    for (index, &name) in expected.iter().enumerate() {
        let stated =
            parse_central(&mut fields).ok_or(ArchiveError::DirectoryTruncated { index })?;
        records.push(record(&stated, index, name)?);
        // The first entry decides; that the others agree comes out of the comparison.
        if layout.is_none() {
            layout = Some(stated.layout?);
        }
    }
    let layout = layout.ok_or(ArchiveError::EntryCount { found: count })?;
    Ok((layout, records))
}

fn record(stated: &Stated<'_>, index: usize, expected: EntryName) -> Result<Record, ArchiveError> {
    if stated.name != expected.as_str().as_bytes() {
        return Err(ArchiveError::EntryOrder {
            index,
            found: String::from_utf8_lossy(stated.name).into_owned(),
            expected,
        });
    }
    Record::new(expected, stated.size.into(), stated.crc32)
}

/// The contents, each with its name; the image only by its place.
struct Contents {
    manifest: Option<Vec<u8>>,
    signature: Option<Vec<u8>>,
    image: Option<ImageEntry>,
}

impl Contents {
    fn read(file: &File, frame: &Frame) -> Result<Contents, ArchiveError> {
        let mut contents = Contents {
            manifest: None,
            signature: None,
            image: None,
        };
        for entry in &frame.entries {
            let header = read_at(
                file,
                entry.header_offset,
                entry.header.len() as u64,
                "local header",
            )?;
            if let Some(at) = first_difference(&header, &entry.header) {
                return Err(ArchiveError::LocalHeader {
                    entry: entry.record.name,
                    offset: entry.header_offset + at as u64,
                });
            }
            let read = || read_content(file, &entry.record, entry.data_offset);
            match entry.record.name {
                EntryName::Manifest => contents.manifest = Some(read()?),
                EntryName::Signature => contents.signature = Some(read()?),
                EntryName::Image => {
                    contents.image = Some(ImageEntry {
                        offset: entry.data_offset,
                        size: entry.record.size.into(),
                        crc32: entry.record.crc32,
                    });
                }
            }
        }
        Ok(contents)
    }

    fn into_archive(self, layout: Layout, comment: Vec<u8>) -> Result<Archive, ArchiveError> {
        let missing = ArchiveError::EntryCount { found: 0 };
        match (self.manifest, self.image) {
            (Some(manifest), Some(image)) => Ok(Archive {
                layout,
                comment,
                manifest,
                signature: self.signature,
                image,
            }),
            _ => Err(missing),
        }
    }
}

fn read_content(file: &File, record: &Record, offset: u64) -> Result<Vec<u8>, ArchiveError> {
    let content = read_at(file, offset, record.size.into(), record.name.as_str())?;
    if crc32fast::hash(&content) != record.crc32 {
        return Err(ArchiveError::Checksum { entry: record.name });
    }
    Ok(content)
}

/// Reads `size` bytes, which the caller has checked against a limit.
fn read_at(
    file: &File,
    offset: u64,
    size: u64,
    what: &'static str,
) -> Result<Vec<u8>, ArchiveError> {
    let failed = |source| ArchiveError::Read {
        what,
        offset,
        source,
    };
    let size =
        usize::try_from(size).map_err(|_| failed(io::Error::from(io::ErrorKind::InvalidInput)))?;
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, offset).map_err(failed)?;
    Ok(bytes)
}
