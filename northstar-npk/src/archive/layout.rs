//! Every byte of an archive that is not content, as a function of sizes, checksums and comment.
//!
//! The fields are those of section 4.3 of APPNOTE.TXT; all numbers are little endian.

use super::parse::first_difference;
use super::{ArchiveError, EntryName};
use crate::limits::{self, BLOCK_U64};

const LOCAL_SIGNATURE: u32 = 0x0403_4b50;
const CENTRAL_SIGNATURE: u32 = 0x0201_4b50;
pub(super) const END_SIGNATURE: u32 = 0x0605_4b50;

/// Fixed part of a local header in bytes, to which name and extra fields are added.
pub(crate) const LOCAL_HEADER_SIZE: usize = 30;
/// Fixed part of the end record in bytes, to which the comment is added.
pub(super) const END_RECORD_SIZE: usize = 22;
/// Upper bound in bytes for the central directory: three headers with names and one padding.
pub(super) const DIRECTORY_LIMIT: u64 = 3 * (46 + 14) + 2 * BLOCK_U64;
/// Upper bound in bytes for all that follows the contents.
pub(crate) const TAIL_LIMIT: usize = DIRECTORY_LIMIT as usize + END_RECORD_SIZE + limits::COMMENT;

/// 1980-01-01, the first day of DOS time.
const DOS_EPOCH: u16 = 0x0021;
/// A regular file of mode 0644, in the upper half as Unix has it.
const ATTRIBUTES: u32 = 0x81a4_0000;

/// The two forms in which packages were ever written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// As format 0.9.2 writes it, and this crate.
    Current,
    /// As format 0.9.1 wrote it. It is read only.
    Legacy,
}

impl Layout {
    pub(super) const ALL: [Layout; 2] = [Layout::Current, Layout::Legacy];

    pub(super) fn made_by(self) -> u16 {
        match self {
            Layout::Current => 0x030a,
            Layout::Legacy => 0x032e,
        }
    }

    pub(super) fn needed(self) -> u16 {
        match self {
            Layout::Current => 10,
            Layout::Legacy => 20,
        }
    }

    /// The extra field which moves the data of `fs.img` from `end` to the next multiple of a block.
    fn alignment_extra(self, end: u64) -> Vec<u8> {
        // An extra field is at least its own header, and the current one also names the alignment.
        let (id, shortest) = match self {
            Layout::Current => (0xa11e_u16, 6),
            Layout::Legacy => (0x617a, 4),
        };
        let mut missing = end.next_multiple_of(BLOCK_U64) - end;
        if missing == 0 {
            return Vec::new();
        }
        if missing < shortest {
            missing += BLOCK_U64;
        }
        // `missing` is below two blocks, so the narrowing keeps the value.
        let mut extra = Vec::with_capacity(missing as usize);
        put16(&mut extra, id);
        put16(&mut extra, (missing - 4) as u16);
        if self == Layout::Current {
            put16(&mut extra, BLOCK_U64 as u16);
        }
        extra.resize(missing as usize, 0);
        extra
    }
}

/// What distinguishes an entry from the entry of the same name in another package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub name: EntryName,
    pub size: u32,
    pub crc32: u32,
}

impl Record {
    /// A record whose size is within the limits of the format.
    pub(crate) fn new(name: EntryName, size: u64, crc32: u32) -> Result<Record, ArchiveError> {
        let limit = name.limit();
        match u32::try_from(size) {
            Ok(narrow) if size > 0 && size <= limit => Ok(Record {
                name,
                size: narrow,
                crc32,
            }),
            _ => Err(ArchiveError::EntrySize {
                entry: name,
                size,
                limit,
            }),
        }
    }
}

/// The local header of `record` at `offset`, with name and extra field.
pub(crate) fn local_header(layout: Layout, record: &Record, offset: u64) -> Vec<u8> {
    let extra = local_extra(layout, record, offset);
    let mut header = Vec::with_capacity(LOCAL_HEADER_SIZE + record.name.as_str().len());
    put32(&mut header, LOCAL_SIGNATURE);
    put_common(&mut header, layout, record, extra.len());
    header.extend_from_slice(record.name.as_str().as_bytes());
    header.extend_from_slice(&extra);
    header
}

fn local_extra(layout: Layout, record: &Record, offset: u64) -> Vec<u8> {
    if record.name != EntryName::Image {
        return Vec::new();
    }
    let end = offset + (LOCAL_HEADER_SIZE + record.name.as_str().len()) as u64;
    layout.alignment_extra(end)
}

/// The fields which local and central header share, from "version needed" to "extra length".
fn put_common(out: &mut Vec<u8>, layout: Layout, record: &Record, extra: usize) {
    put16(out, layout.needed());
    put16(out, 0); // flags
    put16(out, 0); // method: stored
    put16(out, 0); // time
    put16(out, DOS_EPOCH);
    put32(out, record.crc32);
    put32(out, record.size); // compressed, which is the same
    put32(out, record.size);
    put16(out, record.name.as_str().len() as u16);
    put16(out, extra as u16);
}

/// An entry's header and where header and data are in the file.
#[derive(Debug)]
pub(super) struct Placed {
    pub record: Record,
    pub header: Vec<u8>,
    pub header_offset: u64,
    pub data_offset: u64,
}

/// All of an archive but the contents.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(super) entries: Vec<Placed>,
    /// Where the contents end and `directory` begins.
    pub directory_offset: u64,
    /// Central directory, end record and comment.
    pub directory: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(
        layout: Layout,
        records: &[Record],
        comment: &[u8],
    ) -> Result<Frame, ArchiveError> {
        let mut entries = Vec::with_capacity(records.len());
        let mut offset = 0;
        for record in records {
            let header = local_header(layout, record, offset);
            let data_offset = offset + header.len() as u64;
            entries.push(Placed {
                record: *record,
                header,
                header_offset: offset,
                data_offset,
            });
            offset = data_offset + u64::from(record.size);
        }
        let directory = directory(layout, &entries, offset, comment)?;
        Ok(Frame {
            entries,
            directory_offset: offset,
            directory,
        })
    }

    /// Compares what is in a file from `directory_offset` on, which may be in two pieces.
    pub(crate) fn compare_directory(&self, head: &[u8], tail: &[u8]) -> Result<(), ArchiveError> {
        match first_difference(head.iter().chain(tail), &self.directory) {
            None => Ok(()),
            Some(at) => Err(ArchiveError::CentralHeader {
                offset: self.directory_offset + at as u64,
            }),
        }
    }
}

fn directory(
    layout: Layout,
    entries: &[Placed],
    start: u64,
    comment: &[u8],
) -> Result<Vec<u8>, ArchiveError> {
    let narrow = |size: u64| match u32::try_from(size) {
        Ok(narrow) if narrow < u32::MAX => Ok(narrow),
        _ => Err(ArchiveError::TooLarge { size }),
    };
    let mut out = Vec::new();
    for entry in entries {
        let extra = match layout {
            Layout::Current => local_extra(layout, &entry.record, entry.header_offset),
            Layout::Legacy => Vec::new(),
        };
        put32(&mut out, CENTRAL_SIGNATURE);
        put16(&mut out, layout.made_by());
        put_common(&mut out, layout, &entry.record, extra.len());
        put16(&mut out, 0); // comment length
        put16(&mut out, 0); // disk
        put16(&mut out, 0); // internal attributes
        put32(&mut out, ATTRIBUTES);
        put32(&mut out, narrow(entry.header_offset)?);
        out.extend_from_slice(entry.record.name.as_str().as_bytes());
        out.extend_from_slice(&extra);
    }
    let size = out.len() as u64;
    let count = entries.len() as u16;
    put32(&mut out, END_SIGNATURE);
    put32(&mut out, 0); // both disk numbers
    put16(&mut out, count);
    put16(&mut out, count);
    put32(&mut out, narrow(size)?);
    put32(&mut out, narrow(start)?);
    let comment_size = u16::try_from(comment.len()).map_err(|_| ArchiveError::CommentSize {
        size: comment.len(),
    })?;
    put16(&mut out, comment_size);
    out.extend_from_slice(comment);
    Ok(out)
}

fn put16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extra_field_always_reaches_the_next_block() {
        for layout in [Layout::Current, Layout::Legacy] {
            for end in 0..=2 * BLOCK_U64 {
                let extra = layout.alignment_extra(end);
                assert_eq!(
                    (end + extra.len() as u64) % BLOCK_U64,
                    0,
                    "{layout:?} {end}"
                );
                if let [_, _, low, high, ..] = extra[..] {
                    let stated = usize::from(u16::from_le_bytes([low, high]));
                    assert_eq!(stated + 4, extra.len(), "{layout:?} {end}");
                } else {
                    assert!(extra.is_empty() && end % BLOCK_U64 == 0, "{layout:?} {end}");
                }
            }
        }
    }

    #[test]
    fn an_extra_field_without_room_for_itself_takes_one_more_block() {
        let current = |missing| Layout::Current.alignment_extra(BLOCK_U64 - missing).len();
        assert_eq!([current(5), current(6)], [4101, 6]);
        let legacy = |missing| Layout::Legacy.alignment_extra(BLOCK_U64 - missing).len();
        assert_eq!([legacy(3), legacy(4)], [4099, 4]);
    }

    #[test]
    fn sizes_outside_of_the_limits_are_no_records() {
        for (name, size) in [
            (EntryName::Manifest, 0),
            (EntryName::Manifest, 65537),
            (EntryName::Signature, 4097),
            (EntryName::Image, 0xffff_ffff),
            (EntryName::Image, 0x1_0000_0000),
        ] {
            assert!(matches!(
                Record::new(name, size, 0),
                Err(ArchiveError::EntrySize { entry, size: found, .. })
                    if entry == name && found == size
            ));
        }
    }

    #[test]
    fn archives_beyond_four_gib_are_refused() {
        let records = [
            Record::new(EntryName::Manifest, 100, 0).unwrap(),
            Record::new(EntryName::Image, 0xffff_f000, 0).unwrap(),
        ];
        assert!(matches!(
            Frame::new(Layout::Current, &records, b""),
            Err(ArchiveError::TooLarge { .. })
        ));
    }
}
