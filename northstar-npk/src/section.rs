//! A part of a file as a stream of its own.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

/// Bytes of a file from `start` on, read by position, so that the file may be shared.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    file: &'a File,
    start: u64,
    size: u64,
    position: u64,
}

impl<'a> Section<'a> {
    pub(crate) fn new(file: &'a File, start: u64, size: u64) -> Section<'a> {
        Section {
            file,
            start,
            size,
            position: 0,
        }
    }
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.size.saturating_sub(self.position);
        let wanted = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let buffer = buffer.get_mut(..wanted).unwrap_or_default();
        // A seek may go anywhere; beyond the end nothing is added to the position any more.
        if buffer.is_empty() {
            return Ok(0);
        }
        let read = self.file.read_at(buffer, self.start + self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for Section<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.size.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
