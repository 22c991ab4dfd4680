//! Buffers for the raw bytes of an install, used over and over: fresh memory costs more than what is read into it.

use bytes::Bytes;
use std::{
    mem,
    sync::{Arc, Mutex, PoisonError, Weak},
};

/// Buffers of one size that come back when the bytes in them are not needed any more.
///
/// There are never more than were in use at the same time, and they go with this.
#[derive(Debug)]
pub(super) struct Buffers {
    size: usize,
    idle: Arc<Idle>,
}

type Idle = Mutex<Vec<Vec<u8>>>;

/// One of them. It goes back when it is dropped.
#[derive(Debug)]
pub(super) struct Buffer {
    memory: Vec<u8>,
    home: Weak<Idle>,
}

impl Buffers {
    /// Buffers of `size` bytes, none of which exists yet.
    pub(super) fn new(size: usize) -> Buffers {
        Buffers {
            size,
            idle: Arc::default(),
        }
    }

    /// An empty buffer.
    pub(super) fn take(&self) -> Buffer {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        Buffer {
            memory: idle.pop().unwrap_or_else(|| Vec::with_capacity(self.size)),
            home: Arc::downgrade(&self.idle),
        }
    }
}

impl Buffer {
    /// Where bytes are appended.
    pub(super) fn memory(&mut self) -> &mut Vec<u8> {
        &mut self.memory
    }

    /// The bytes in it: in the buffer itself if they fill at least half of it, else copied out of it.
    pub(super) fn into_bytes(self) -> Bytes {
        if self.memory.len().saturating_mul(2) < self.memory.capacity() {
            return Bytes::copy_from_slice(&self.memory);
        }
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.memory
    }
}

impl Drop for Buffer {
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

    fn filled(buffers: &Buffers, length: usize) -> Bytes {
        let mut buffer = buffers.take();
        buffer.memory().resize(length, b'x');
        buffer.into_bytes()
    }

    fn idle(buffers: &Buffers) -> usize {
        buffers.idle.lock().unwrap().len()
    }

    #[test]
    fn a_buffer_comes_back_with_its_last_byte() {
        let buffers = Buffers::new(100);
        let mut first = filled(&buffers, 60);
        let part = first.split_to(10);
        let address = part.as_ptr();
        drop(first);
        assert_eq!(idle(&buffers), 0);
        drop(part);
        assert_eq!(idle(&buffers), 1);
        let again = filled(&buffers, 50);
        assert_eq!((again.as_ptr(), again.len()), (address, 50));
        // Bytes outlive the buffers they came from.
        drop(buffers);
        assert_eq!(again, [b'x'; 50][..]);
    }

    #[test]
    fn few_bytes_keep_no_buffer() {
        let buffers = Buffers::new(100);
        let few = filled(&buffers, 49);
        assert_eq!((few.len(), idle(&buffers)), (49, 1));
        // Memory of its own, of its own size.
        assert_eq!(few.try_into_mut().unwrap().capacity(), 49);
    }
}
