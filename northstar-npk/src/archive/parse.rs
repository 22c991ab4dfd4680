//! Taking from headers what does not follow from anything else.

use super::{ArchiveError, Layout};

/// Takes fields off the front of a header; `None` when it is too short.
pub(super) struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        let bytes = self.bytes(2)?.try_into().ok()?;
        Some(u16::from_le_bytes(bytes))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        let bytes = self.bytes(4)?.try_into().ok()?;
        Some(u32::from_le_bytes(bytes))
    }
}

/// What a header says that does not follow from anything else.
pub(super) struct Stated<'a> {
    pub layout: Result<Layout, ArchiveError>,
    pub crc32: u32,
    pub size: u32,
    pub name: &'a [u8],
}

/// Takes one central header off `fields`. Everything it skips is compared later, byte for byte.
pub(super) fn parse_central<'a>(fields: &mut Fields<'a>) -> Option<Stated<'a>> {
    fields.bytes(4)?; // signature
    let made_by = fields.u16()?;
    let needed = fields.u16()?;
    fields.bytes(8)?; // flags, method, time, date
    let crc32 = fields.u32()?;
    fields.u32()?; // compressed size
    let size = fields.u32()?;
    let name_size = fields.u16()?;
    let extra_size = fields.u16()?;
    let comment_size = fields.u16()?;
    fields.bytes(12)?; // disk, attributes, offset
    let name = fields.bytes(name_size.into())?;
    fields.bytes(extra_size.into())?;
    fields.bytes(comment_size.into())?;
    let layout = Layout::ALL
        .into_iter()
        .find(|layout| layout.made_by() == made_by)
        .ok_or(ArchiveError::UnknownLayout { made_by, needed });
    Some(Stated {
        layout,
        crc32,
        size,
        name,
    })
}

/// What a local header says that does not follow from anything else.
pub(crate) struct LocalStated {
    pub layout: Result<Layout, ArchiveError>,
    pub crc32: u32,
    pub size: u32,
    pub name_size: u16,
}

/// Reads the fixed part of a local header; `None` when it is too short.
///
/// As with the central header the caller compares the rest with [`local_header`](super::local_header).
pub(crate) fn parse_local(header: &[u8]) -> Option<LocalStated> {
    let mut fields = Fields(header);
    fields.bytes(4)?; // signature
    let needed = fields.u16()?;
    fields.bytes(8)?; // flags, method, time, date
    let crc32 = fields.u32()?;
    fields.u32()?; // compressed size
    let size = fields.u32()?;
    let name_size = fields.u16()?;
    let layout = Layout::ALL
        .into_iter()
        .find(|layout| layout.needed() == needed)
        .ok_or(ArchiveError::UnknownLayout { made_by: 0, needed });
    Some(LocalStated {
        layout,
        crc32,
        size,
        name_size,
    })
}

/// Position of the first byte that differs, counting a missing byte as a difference.
pub(crate) fn first_difference<'a>(
    found: impl IntoIterator<Item = &'a u8>,
    expected: &'a [u8],
) -> Option<usize> {
    let mut found = found.into_iter();
    let mut expected = expected.iter();
    let mut at = 0;
    loop {
        match (found.next(), expected.next()) {
            (None, None) => return None,
            (found, expected) if found == expected => at += 1,
            _ => return Some(at),
        }
    }
}
