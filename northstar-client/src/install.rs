//! The body of an install request.

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};

/// How many bytes are read and sent at once.
const CHUNK: usize = 256 * 1024;

/// A package on its way to the server.
pub(crate) struct Body {
    reader: Box<dyn AsyncRead + Send + Unpin>,
    progress: Box<dyn FnMut(u64) + Send>,
    size: u64,
    sent: Arc<AtomicU64>,
}

impl Body {
    /// The first `size` bytes of `reader`; `progress` is called with the number of bytes sent so far.
    pub(crate) fn new(
        reader: impl AsyncRead + Send + Unpin + 'static,
        size: u64,
        progress: impl FnMut(u64) + Send + 'static,
    ) -> Body {
        Body {
            reader: Box::new(reader),
            progress: Box::new(progress),
            size,
            sent: Arc::default(),
        }
    }

    /// Counts the bytes that are sent.
    pub(crate) fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.sent)
    }

    /// How many bytes are still to be sent.
    pub(crate) fn missing(&self) -> u64 {
        self.size.saturating_sub(self.sent.load(Ordering::Relaxed))
    }

    /// Reads the next piece into `buffer`; 0 if the reader ends.
    pub(crate) async fn read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        let limit = usize::try_from(self.missing()).map_or(CHUNK, |missing| missing.min(CHUNK));
        buffer.reserve(limit);
        (&mut self.reader)
            .take(u64::try_from(limit).unwrap_or(u64::MAX))
            .read_buf(buffer)
            .await
    }

    /// `count` more bytes are sent.
    pub(crate) fn advance(&mut self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let before = self.sent.fetch_add(count, Ordering::Relaxed);
        (self.progress)(before.saturating_add(count));
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("size", &self.size)
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}
