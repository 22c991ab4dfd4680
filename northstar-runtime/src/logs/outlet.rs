//! The daemon's own standard output and error, for containers whose output goes there as it is.
//!
//! Whoever reads them may be slow or stuck. So one thread writes to each, and containers wait in front of it without a
//! thread of their own, however many they are.

use super::Stream;
use std::{
    io::{self, Write},
    sync::OnceLock,
    thread,
};
use tokio::sync::{mpsc, oneshot};

/// Bytes, and who wants to know that they are written.
#[derive(Debug)]
struct Chunk {
    bytes: Vec<u8>,
    written: oneshot::Sender<()>,
}

/// A way to one of the daemon's streams.
#[derive(Clone, Debug)]
pub(super) struct Outlet(mpsc::Sender<Chunk>);

/// Nobody reads the stream any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closed;

impl Outlet {
    /// The one of a stream. Its thread is started for the first container that needs it and ends with the daemon.
    ///
    /// Fails when threads run out (pthread_create(3)).
    pub(super) fn of(stream: Stream) -> io::Result<Outlet> {
        static STDOUT: OnceLock<Outlet> = OnceLock::new();
        static STDERR: OnceLock<Outlet> = OnceLock::new();
        let outlet = match stream {
            Stream::Stdout => &STDOUT,
            Stream::Stderr => &STDERR,
        };
        if let Some(outlet) = outlet.get() {
            return Ok(outlet.clone());
        }
        let made = match stream {
            Stream::Stdout => Outlet::new(io::stdout())?,
            Stream::Stderr => Outlet::new(io::stderr())?,
        };
        // If somebody else was first, the thread of this one ends with its sender.
        Ok(outlet.get_or_init(|| made).clone())
    }

    /// One with a thread of its own, which writes to `output` until nobody wants anything written.
    pub(super) fn new(output: impl Write + Send + 'static) -> io::Result<Outlet> {
        let (sender, receiver) = mpsc::channel(1);
        thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || serve(receiver, output))?;
        Ok(Outlet(sender))
    }

    /// Waits until all bytes are written.
    pub(super) async fn write(&self, bytes: &[u8]) -> Result<(), Closed> {
        let (written, done) = oneshot::channel();
        let bytes = bytes.to_vec();
        let chunk = Chunk { bytes, written };
        self.0.send(chunk).await.map_err(|_| Closed)?;
        done.await.map_err(|_| Closed)
    }
}

/// Ends at the first error: a stream that nobody reads stays like that.
fn serve(mut queue: mpsc::Receiver<Chunk>, mut output: impl Write) {
    while let Some(Chunk { bytes, written }) = queue.blocking_recv() {
        if output
            .write_all(&bytes)
            .and_then(|()| output.flush())
            .is_err()
        {
            return;
        }
        // The container may have been given up meanwhile.
        let _ = written.send(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, pipe};

    #[tokio::test]
    async fn bytes_are_written_when_write_returns() {
        let (mut reader, writer) = pipe().unwrap();
        let outlet = Outlet::new(writer).unwrap();
        outlet.write(b"raw \x1b bytes\n").await.unwrap();
        outlet.clone().write(b"without end").await.unwrap();
        let mut bytes = [0; 23];
        reader.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"raw \x1b bytes\nwithout end");
    }

    #[tokio::test]
    async fn nobody_reads_is_told_to_everybody() {
        let (reader, writer) = pipe().unwrap();
        let outlet = Outlet::new(writer).unwrap();
        drop(reader);
        assert_eq!(outlet.write(b"x").await, Err(Closed));
        assert_eq!(outlet.clone().write(b"x").await, Err(Closed));
    }

    #[tokio::test]
    async fn who_waits_in_front_of_a_stuck_stream_can_be_given_up() {
        let (mut reader, writer) = pipe().unwrap();
        let outlet = Outlet::new(writer).unwrap();
        // More than a pipe holds: the thread is stuck, one more chunk waits in the queue, and this one before it.
        let large = vec![b'x'; 1 << 20];
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let (outlet, large) = (outlet.clone(), large.clone());
                tokio::spawn(async move { outlet.write(&large).await })
            })
            .collect();
        // Each one comes as far as it can.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        for task in waiting {
            assert!(!task.is_finished());
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
        }
        // The stream goes on when somebody reads it.
        let read = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).unwrap();
            bytes
        });
        outlet.write(b"end").await.unwrap();
        drop(outlet);
        assert!(read.join().unwrap().ends_with(b"end"));
    }
}
