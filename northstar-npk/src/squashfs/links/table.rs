//! Writing a table in metadata blocks.

use crate::squashfs::SquashfsError;
use crate::squashfs::codec::Codec;

/// A place in a table.
#[derive(Clone, Copy)]
pub(super) struct Reference {
    /// Start of the block, in bytes from the start of the table.
    pub block: u32,
    /// Bytes from the start of the decompressed block.
    pub offset: u16,
}

/// A table that is being written.
pub(super) struct Table {
    codec: Codec,
    /// Blocks that are complete.
    blocks: Vec<u8>,
    /// What the next one will hold.
    pending: Vec<u8>,
}

/// Bytes of a block before it is compressed.
pub(super) const BLOCK: usize = 8192;
/// The bit in front of a block that is stored as it is.
const STORED: u16 = 0x8000;

impl Table {
    pub(super) fn new(codec: Codec) -> Table {
        Table {
            codec,
            blocks: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// Where the next byte will be.
    pub(super) fn position(&self) -> Reference {
        Reference {
            // A table that is larger does not read back.
            block: self.blocks.len() as u32,
            offset: self.pending.len() as u16,
        }
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), SquashfsError> {
        self.pending.extend_from_slice(bytes);
        while self.pending.len() >= BLOCK {
            let rest = self.pending.split_off(BLOCK);
            let block = std::mem::replace(&mut self.pending, rest);
            self.block(&block)?;
        }
        Ok(())
    }

    fn block(&mut self, bytes: &[u8]) -> Result<(), SquashfsError> {
        let compressed = self.codec.compress(bytes).map_err(SquashfsError::Write)?;
        let (header, content) = match compressed.len() < bytes.len() {
            true => (compressed.len() as u16, compressed.as_slice()),
            false => (bytes.len() as u16 | STORED, bytes),
        };
        self.blocks.extend(header.to_le_bytes());
        self.blocks.extend(content);
        Ok(())
    }

    /// The whole table.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, SquashfsError> {
        let rest = std::mem::take(&mut self.pending);
        if !rest.is_empty() {
            self.block(&rest)?;
        }
        Ok(self.blocks)
    }
}
