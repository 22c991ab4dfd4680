//! The tables of an image, which consist of metadata blocks.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use backhand::compression::{CompressionAction, Compressor};

use super::Budget;
use crate::squashfs::SquashfsError;
use crate::squashfs::decompress::READING;
use crate::squashfs::superblock::Superblock;

/// Bytes that a metadata block decompresses to; only the last one of a table has fewer.
pub(super) const BLOCK: usize = 8192;
/// Bytes in front of a block: its size, and whether it is compressed.
const HEADER: usize = 2;
/// The bit of the header that says that a block is stored as it is.
const STORED: u16 = 0x8000;

/// Where the tables are read from.
#[derive(Clone, Copy)]
pub(super) struct Tables<'a> {
    pub file: &'a File,
    /// Where the image begins in the file in bytes.
    pub offset: u64,
    pub superblock: &'a Superblock,
}

/// A table as a whole.
pub(super) struct Metadata {
    pub bytes: Vec<u8>,
    /// Where each block begins, in bytes from the start of the table.
    starts: Vec<u64>,
}

impl Metadata {
    /// How far a reference leads into the table: the start of a block, and an offset inside.
    pub(super) fn position(&self, block: u64, offset: u16) -> Option<usize> {
        let index = self.starts.binary_search(&block).ok()?;
        let offset = usize::from(offset);
        (offset < BLOCK).then_some(index * BLOCK + offset)
    }

    /// The start of the block that holds this byte of the table.
    pub(super) fn block(&self, position: usize) -> Option<u64> {
        self.starts.get(position / BLOCK).copied()
    }
}

fn invalid(table: &'static str, what: &'static str) -> SquashfsError {
    SquashfsError::Table { table, what }
}

impl Tables<'_> {
    /// Reads the blocks from `start` up to `end`, which is where the last one has to end.
    pub(super) fn metadata(
        self,
        table: &'static str,
        (start, end): (u64, u64),
        budget: &mut Budget,
    ) -> Result<Metadata, SquashfsError> {
        let mut starts = Vec::new();
        let mut at = start;
        // Nothing is decompressed before it is known how much that will be.
        while at < end {
            // The library holds the same once more, in a buffer that has grown.
            budget.take(3 * BLOCK as u64)?;
            starts.push(at - start);
            let (_, size) = self.header(table, at)?;
            at += (HEADER + size) as u64;
        }
        if at != end {
            let what = "it does not end where the next one begins";
            return Err(invalid(table, what));
        }
        let mut bytes = Vec::with_capacity(starts.len() * BLOCK);
        for at in &starts {
            if !bytes.len().is_multiple_of(BLOCK) {
                return Err(invalid(table, "a block in the middle is short"));
            }
            let (block, _) = self.block(table, start + at)?;
            bytes.extend_from_slice(&block);
        }
        Ok(Metadata { bytes, starts })
    }

    /// Checks the tables that are found through pointers, and returns where the first of them begins.
    pub(super) fn first_lookup_table(self, budget: &mut Budget) -> Result<u64, SquashfsError> {
        let superblock = self.superblock;
        let ids = (superblock.ids.into(), 4);
        let mut first = self.lookup_table("id table", superblock.id_table, ids, budget)?;
        if let Some(pointers) = superblock.export_table {
            let inodes = (superblock.inodes.into(), 8);
            first = self.lookup_table("export table", pointers, inodes, budget)?;
        }
        if superblock.fragments > 0 {
            let table = "fragment table";
            let none = invalid(table, "there is none");
            let fragments = (superblock.fragments.into(), 16);
            let pointers = superblock.fragment_table.ok_or(none)?;
            first = self.lookup_table(table, pointers, fragments, budget)?;
        }
        Ok(first)
    }

    /// Checks a table of `count` entries of `size` bytes, whose blocks the pointers at `pointers`
    /// lead to, and returns where the first one is.
    ///
    /// Blocks lie one behind the other, and the pointers behind them, so that it makes no difference
    /// whether a reader follows all pointers or the first one only.
    fn lookup_table(
        self,
        table: &'static str,
        pointers: u64,
        (count, size): (u64, u64),
        budget: &mut Budget,
    ) -> Result<u64, SquashfsError> {
        let mut left = count * size;
        // The entries in memory, in a buffer that has grown.
        budget.take(count * 48)?;
        let blocks = left.div_ceil(BLOCK as u64);
        let mut first = None;
        let mut at = None;
        for index in 0..blocks {
            let mut pointer = [0; 8];
            self.read(table, pointers.saturating_add(index * 8), &mut pointer)?;
            let pointer = u64::from_le_bytes(pointer);
            first.get_or_insert(pointer);
            if at.is_some_and(|at| at != pointer) {
                return Err(invalid(table, "its blocks are not one behind the other"));
            }
            let (block, next) = self.block(table, pointer)?;
            if block.len() as u64 != left.min(BLOCK as u64) {
                return Err(invalid(table, "it has not as many entries as it should"));
            }
            left -= block.len() as u64;
            at = Some(next);
        }
        match (first, at) {
            (Some(first), Some(end)) if end == pointers => Ok(first),
            (Some(_), _) => Err(invalid(table, "its pointers are not behind it")),
            (None, _) => Err(invalid(table, "it is empty")),
        }
    }

    /// Reads a block. Returns what is in it, and where it ends.
    fn block(self, table: &'static str, at: u64) -> Result<(Vec<u8>, u64), SquashfsError> {
        let (is_stored, size) = self.header(table, at)?;
        let start = at + HEADER as u64;
        let mut bytes = vec![0; size];
        self.read(table, start, &mut bytes)?;
        if !is_stored {
            let mut content = Vec::with_capacity(BLOCK);
            READING
                .decompress(&bytes, &mut content, self.compressor())
                .map_err(SquashfsError::Read)?;
            bytes = content;
        }
        match (1..=BLOCK).contains(&bytes.len()) {
            true => Ok((bytes, start + size as u64)),
            false => Err(invalid(table, "a block has an impossible size")),
        }
    }

    /// Whether a block is stored as it is, and its size in bytes without the header.
    fn header(self, table: &'static str, at: u64) -> Result<(bool, usize), SquashfsError> {
        let mut header = [0; HEADER];
        self.read(table, at, &mut header)?;
        let header = u16::from_le_bytes(header);
        let size = usize::from(header & !STORED);
        match (1..=BLOCK).contains(&size) {
            true => Ok((header & STORED != 0, size)),
            false => Err(invalid(table, "the size of a block is impossible")),
        }
    }

    fn read(self, table: &'static str, at: u64, buffer: &mut [u8]) -> Result<(), SquashfsError> {
        let failed = |source| SquashfsError::ReadTable { table, source };
        let end = at.checked_add(buffer.len() as u64);
        match end.is_some_and(|end| end <= self.superblock.bytes_used) {
            true => self.file.read_exact_at(buffer, self.offset + at),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
        .map_err(failed)
    }

    fn compressor(self) -> Compressor {
        match self.superblock.compression {
            1 => Compressor::Gzip,
            3 => Compressor::Lzo,
            4 => Compressor::Xz,
            5 => Compressor::Lz4,
            6 => Compressor::Zstd,
            // There is no other one in a superblock that was parsed.
            _ => Compressor::Uncompressed,
        }
    }
}
