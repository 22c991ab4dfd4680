//! The bytes of an upload in pieces that are worth a system call and a hand-over to another thread.

use bytes::{BufMut, Bytes, buf::Limit};
use std::{
    mem,
    sync::{Arc, Mutex, PoisonError, Weak},
};

/// How many bytes a piece has, except for the first and the last.
const PIECE: usize = 1024 * 1024;
/// How many the first has: it shows whether it is a package and whether there is room for it.
const FIRST: usize = 64 * 1024;

/// Where the bytes of one upload are collected.
///
/// The memory of a piece is used again for a later one as soon as nobody needs its bytes any more: fresh memory costs
/// more than what is put into it. So there is never more than was in use at the same time, and it goes with this.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    /// Empty until there is something to collect.
    collected: Vec<u8>,
    is_begun: bool,
    idle: Arc<Idle>,
}

type Idle = Mutex<Vec<Vec<u8>>>;

/// The memory of a piece that is on its way. It goes back when it is dropped.
#[derive(Debug)]
struct Piece {
    memory: Vec<u8>,
    home: Weak<Idle>,
}

impl Pieces {
    /// Room for the next bytes, at least for one.
    pub(super) fn room(&mut self) -> Limit<&mut Vec<u8>> {
        if self.collected.capacity() == 0 {
            self.collected = self.memory();
        }
        let room = self.size().saturating_sub(self.collected.len());
        (&mut self.collected).limit(room)
    }

    /// The next piece, if it is complete.
    pub(super) fn complete(&mut self) -> Option<Bytes> {
        (self.collected.len() >= self.size()).then(|| self.take())
    }

    /// What is not in a piece yet, if there is anything.
    pub(super) fn rest(&mut self) -> Option<Bytes> {
        (!self.collected.is_empty()).then(|| self.take())
    }

    fn size(&self) -> usize {
        if self.is_begun { PIECE } else { FIRST }
    }

    fn take(&mut self) -> Bytes {
        let memory = mem::take(&mut self.collected);
        if !mem::replace(&mut self.is_begun, true) {
            // Too small for a later one.
            return Bytes::from(memory);
        }
        Bytes::from_owner(Piece {
            memory,
            home: Arc::downgrade(&self.idle),
        })
    }

    fn memory(&self) -> Vec<u8> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.pop()
            .unwrap_or_else(|| Vec::with_capacity(self.size()))
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.memory
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let Some(home) = self.home.upgrade() else {
            return;
        };
        let mut memory = mem::take(&mut self.memory);
        memory.clear();
        home.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(memory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Collects until there is a piece.
    fn filled(pieces: &mut Pieces, byte: u8) -> Bytes {
        loop {
            let mut room = pieces.room();
            let size = room.remaining_mut().min(50_000);
            assert!(size > 0);
            room.put_bytes(byte, size);
            if let Some(piece) = pieces.complete() {
                return piece;
            }
        }
    }

    #[test]
    fn the_first_piece_is_small_and_the_last_is_what_is_left() {
        let mut pieces = Pieces::default();
        assert_eq!((pieces.complete(), pieces.rest()), (None, None));
        assert_eq!(pieces.room().remaining_mut(), FIRST);
        assert_eq!(filled(&mut pieces, 1), [1; FIRST][..]);
        assert_eq!(pieces.room().remaining_mut(), PIECE);
        for byte in 2..5 {
            assert_eq!(filled(&mut pieces, byte), vec![byte; PIECE]);
        }
        pieces.room().put_slice(b"rest");
        assert_eq!(pieces.complete(), None);
        assert_eq!(pieces.rest().unwrap(), "rest");
        assert_eq!(pieces.rest(), None);
    }

    #[test]
    fn memory_comes_back_with_the_last_of_its_bytes() {
        let mut pieces = Pieces::default();
        drop(filled(&mut pieces, 1));
        let mut first = filled(&mut pieces, 2);
        let address = first.as_ptr();
        let part = first.split_to(10);
        drop(first);
        let second = filled(&mut pieces, 3);
        assert_ne!(second.as_ptr(), address);
        assert_eq!(part, [2; 10][..]);
        drop(part);
        let third = filled(&mut pieces, 4);
        assert_eq!(third.as_ptr(), address);
        assert!(third.iter().all(|byte| *byte == 4));
        // Bytes outlive what they were collected in.
        drop(pieces);
        assert_eq!((third.len(), second.len()), (PIECE, PIECE));
    }

    #[test]
    fn who_has_sent_little_holds_little() {
        let mut pieces = Pieces::default();
        pieces.room().put_slice(b"x");
        assert!(pieces.collected.capacity() <= FIRST);
    }
}
