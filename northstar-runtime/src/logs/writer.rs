//! The daemon's log on its way to stderr.
//!
//! Whoever reads stderr may be slow or stuck, and the daemon must answer all the same. So records go through a bounded
//! queue to a thread of their own; what does not fit is dropped and counted. Before the thread is started, while the
//! daemon may have one thread only, records are written directly.
//!
//! A record is one line once packages and clients have a part in it: the errors and names that come from them may be made of
//! any characters. Before that the daemon speaks of its configuration alone, whose errors may have several lines.

use super::split::escape;
use std::{
    io::{self, Write},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver, SyncSender, TrySendError},
    },
    thread,
    time::Duration,
};
use tracing_subscriber::fmt::MakeWriter;

/// Records in the queue: more than the rate limit lets pass at once of a few streams.
const RECORDS: usize = 8192;
/// Bytes in the queue, so that long records do not add up.
const BYTES: usize = 8 * 1024 * 1024;

static QUEUE: OnceLock<SyncSender<Entry>> = OnceLock::new();
static QUEUED: AtomicUsize = AtomicUsize::new(0);
static DROPPED: AtomicUsize = AtomicUsize::new(0);

#[derive(Debug)]
enum Entry {
    Record(Vec<u8>),
    /// Everything before it is written: tells so.
    Flush(SyncSender<()>),
}

/// Where a log subscriber writes to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stderr;

/// One record.
#[derive(Debug)]
pub struct Record(Vec<u8>);

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Record;

    fn make_writer(&'a self) -> Record {
        Record(Vec::new())
    }
}

impl Write for Record {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let record = std::mem::take(&mut self.0);
        match QUEUE.get() {
            _ if record.is_empty() => {}
            Some(queue) => enqueue(queue, one_line(&record)),
            None => write(&record),
        }
    }
}

/// The record with nothing in it that begins another one, moves a cursor or hides. Escape characters stay: the subscriber
/// sets colours by them, and has escaped those of others.
fn one_line(record: &[u8]) -> Vec<u8> {
    let text = record.strip_suffix(b"\n").unwrap_or(record);
    let parts = text.split(|byte| *byte == b'\x1b').map(escape);
    let mut line = parts.collect::<Vec<_>>().join("\x1b");
    line.push('\n');
    line.into_bytes()
}

fn enqueue(queue: &SyncSender<Entry>, record: Vec<u8>) {
    let length = record.len();
    let fits = QUEUED
        .fetch_add(length, Ordering::Relaxed)
        .saturating_add(length)
        <= BYTES;
    if !fits || queue.try_send(Entry::Record(record)).is_err() {
        QUEUED.fetch_sub(length, Ordering::Relaxed);
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

/// Starts the thread. To be called once the daemon may have threads; further calls do nothing.
///
/// # Errors
///
/// No thread can be made; records are still written directly.
pub(crate) fn start() -> io::Result<()> {
    let (sender, receiver) = mpsc::sync_channel(RECORDS);
    thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || drain(receiver))?;
    // If there is a queue already, this thread ends with its receiver.
    let _ = QUEUE.set(sender);
    Ok(())
}

/// Waits until all records so far are written, at most for `limit`.
pub fn flush(limit: Duration) {
    let Some(queue) = QUEUE.get() else { return };
    let (done, wait) = mpsc::sync_channel(1);
    let mut entry = Entry::Flush(done);
    let deadline = std::time::Instant::now() + limit;
    // A full queue becomes empty, unless nobody reads stderr.
    while let Err(TrySendError::Full(returned)) = queue.try_send(entry) {
        if std::time::Instant::now() >= deadline {
            return;
        }
        entry = returned;
        thread::sleep(Duration::from_millis(1));
    }
    let _ = wait.recv_timeout(deadline.saturating_duration_since(std::time::Instant::now()));
}

fn drain(queue: Receiver<Entry>) {
    for entry in queue {
        match entry {
            Entry::Record(record) => {
                write(&record);
                QUEUED.fetch_sub(record.len(), Ordering::Relaxed);
            }
            Entry::Flush(done) => drop(done.try_send(())),
        }
        let dropped = DROPPED.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            write(
                format!("{dropped} log records dropped: stderr is not read fast enough\n")
                    .as_bytes(),
            );
        }
    }
}

/// There is nowhere to report a failure to.
fn write(record: &[u8]) {
    let _ = io::stderr().lock().write_all(record);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_is_one_line_with_its_colours() {
        let record = "\x1b[2mnow\x1b[0m WARN a: x\r\nnow INFO b\u{85}\u{202e}\t\u{fc}\n";
        let line = one_line(record.as_bytes());
        let expected = "\x1b[2mnow\x1b[0m WARN a: x\\r\\x0anow INFO b\\u{85}\\u{202e}\\t\u{fc}\n";
        assert_eq!(String::from_utf8(line).unwrap(), expected);
        assert_eq!(one_line(b"end\xff"), b"end\\xff\n");
    }

    #[test]
    fn full_queue_drops_and_counts() {
        let (queue, receiver) = mpsc::sync_channel(2);
        for _ in 0..5 {
            enqueue(&queue, vec![b'x'; 10]);
        }
        assert_eq!(DROPPED.swap(0, Ordering::Relaxed), 3);
        assert_eq!(QUEUED.swap(0, Ordering::Relaxed), 20);
        drop(queue);
        assert_eq!(receiver.into_iter().count(), 2);
    }
}
