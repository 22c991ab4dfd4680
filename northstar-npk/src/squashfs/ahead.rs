//! Reading and compressing files ahead of the writer, on all cores.
//!
//! The library writes an image on one thread: it takes the bytes of one file after the other from
//! a reader and calls its compressor for each block. Here one more thread reads the same files in
//! the same order and cuts them into the blocks that the library will ask for, and further threads
//! compress those. What the library reads, and what its compressor answers, then comes out of
//! queues, in order.
//!
//! Cutting files ahead repeats the library's rules: a file shorter than a block joins others in a
//! fragment block, a block of zeros is a hole. Nothing depends on getting that right but the speed:
//! each result is kept with the bytes it was made of, and where the library asks for others, they
//! are compressed there and then. So that nobody waits for a result that never comes, a block
//! is always handed out for compression before the piece of file that it ends with.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use backhand::BackhandError;

use super::codec::Codec;
use super::queue::{Closed, Queue};
use super::source::Source;
use crate::parallel::cores;

/// A piece of a file, at most a block long, or its end as no bytes.
pub(super) type Piece = io::Result<Arc<Vec<u8>>>;
type Compressed = Result<Vec<u8>, BackhandError>;

/// A block that somebody compresses.
struct Job {
    bytes: Arc<Vec<u8>>,
    done: SyncSender<Compressed>,
}

/// The same block, seen from where the result is needed.
struct Pending {
    bytes: Arc<Vec<u8>>,
    done: Receiver<Compressed>,
}

/// What was read and compressed ahead, for the thread that writes the image.
pub(super) struct Ahead {
    codec: Codec,
    /// In batches, so that the threads do not wake each other for every small file.
    pieces: Queue<Vec<Piece>>,
    /// What is left of the batch that was taken last.
    batch: Mutex<VecDeque<Piece>>,
    pending: Queue<Pending>,
    /// The next one of `pending`.
    next: Mutex<Option<Pending>>,
    /// Files whose end was not taken yet.
    files_left: AtomicUsize,
}

/// Bytes of a batch.
const BATCH: usize = 256 * 1024;

/// Bytes that a queued item takes beside its content, so that empty files count as well.
const OVERHEAD: usize = 256;

impl Ahead {
    pub(super) fn new(codec: Codec, files: usize) -> Ahead {
        // Enough that nobody waits, for blocks of any size.
        let limit = (4 + 4 * cores()) * codec.block_size().max(256 * 1024);
        Ahead {
            codec,
            pieces: Queue::new(limit),
            batch: Mutex::default(),
            // What is pending was cut out of the pieces, and so is bounded with them.
            pending: Queue::new(usize::MAX),
            next: Mutex::new(None),
            files_left: AtomicUsize::new(files),
        }
    }

    /// Reads and compresses `files` ahead while `write` runs.
    pub(super) fn run<T>(&self, files: &[&Source], write: impl FnOnce() -> T) -> io::Result<T> {
        let (sender, jobs) = mpsc::sync_channel(2 * cores());
        let jobs = Mutex::new(jobs);
        thread::scope(|scope| {
            // Whatever happens, nobody is left waiting when the scope ends.
            let _close = CloseOnDrop(self);
            for _ in 0..cores() {
                let work = || {
                    while let Some(job) = next_job(&jobs) {
                        // Nobody waits for it if writing failed meanwhile.
                        let _ = job.done.send(self.codec.compress(&job.bytes));
                    }
                };
                thread::Builder::new().spawn_scoped(scope, work)?;
            }
            let mut cutter = Cutter {
                ahead: self,
                jobs: sender,
                fragment: Vec::new(),
                batch: Vec::new(),
                batch_size: 0,
            };
            let cut = move || {
                // It ends early if nobody takes anything any more.
                let _ = cutter.run(files);
                cutter.ahead.close();
            };
            thread::Builder::new().spawn_scoped(scope, cut)?;
            Ok(write())
        })
    }

    fn close(&self) {
        self.pieces.close();
        self.pending.close();
    }

    /// The next piece of the file whose turn it is.
    pub(super) fn next_piece(&self) -> Piece {
        let mut batch = self.batch.lock().unwrap_or_else(PoisonError::into_inner);
        if batch.is_empty() {
            batch.extend(self.pieces.take().unwrap_or_default());
        }
        let piece = batch.pop_front();
        let piece = piece.unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()));
        if piece.as_ref().is_ok_and(|piece| piece.is_empty()) {
            self.files_left.fetch_sub(1, Ordering::Relaxed);
        }
        piece
    }

    /// `bytes`, compressed: by another thread already, if they are what was expected.
    pub(super) fn compress(&self, bytes: &[u8]) -> Compressed {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if next.is_none() {
            // After the last file comes one more block of short files, and then the tables, which
            // nobody compressed ahead.
            *next = match self.files_left.load(Ordering::Relaxed) {
                0 => self.pending.take(),
                _ => self.pending.try_take(),
            };
        }
        let expected = next.take_if(|next| next.bytes.as_slice() == bytes);
        match expected.map(|pending| pending.done.recv()) {
            Some(Ok(compressed)) => compressed,
            _ => self.codec.compress(bytes),
        }
    }
}

struct CloseOnDrop<'a>(&'a Ahead);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn next_job(jobs: &Mutex<Receiver<Job>>) -> Option<Job> {
    let jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
    jobs.recv().ok()
}

/// Cuts files into blocks as the library does.
struct Cutter<'a> {
    ahead: &'a Ahead,
    jobs: SyncSender<Job>,
    /// Files that are shorter than a block, so far.
    fragment: Vec<u8>,
    batch: Vec<Piece>,
    batch_size: usize,
}

impl Cutter<'_> {
    fn run(&mut self, files: &[&Source]) -> Result<(), Closed> {
        for file in files {
            match file.open() {
                Ok(reader) => self.file(reader)?,
                Err(error) => self.give(Err(error))?,
            }
        }
        self.finish_fragment()?;
        self.give_batch()
    }

    fn file(&mut self, mut reader: impl Read) -> Result<(), Closed> {
        let block_size = self.ahead.codec.block_size();
        let mut first = true;
        loop {
            let mut piece = Vec::with_capacity(block_size);
            if let Err(error) = (&mut reader)
                .take(block_size as u64)
                .read_to_end(&mut piece)
            {
                return self.give(Err(error));
            }
            if piece.len() < block_size {
                piece.shrink_to_fit();
            }
            let piece = Arc::new(piece);
            match piece.len() {
                0 => {}
                length if first && length < block_size => self.short_file(&piece)?,
                _ if piece.iter().all(|&byte| byte == 0) => {}
                _ => self.compress(Arc::clone(&piece))?,
            }
            let ended = piece.is_empty();
            self.give(Ok(piece))?;
            if ended {
                return Ok(());
            }
            first = false;
        }
    }

    fn short_file(&mut self, bytes: &[u8]) -> Result<(), Closed> {
        if self.fragment.len() + bytes.len() > self.ahead.codec.block_size() {
            self.finish_fragment()?;
        }
        self.fragment.extend_from_slice(bytes);
        Ok(())
    }

    fn finish_fragment(&mut self) -> Result<(), Closed> {
        let fragment = std::mem::take(&mut self.fragment);
        self.compress(Arc::new(fragment))
    }

    fn give(&mut self, piece: Piece) -> Result<(), Closed> {
        self.batch_size += piece.as_ref().map_or(0, |piece| piece.len()) + OVERHEAD;
        self.batch.push(piece);
        match self.batch_size >= BATCH {
            true => self.give_batch(),
            false => Ok(()),
        }
    }

    fn give_batch(&mut self) -> Result<(), Closed> {
        let size = std::mem::take(&mut self.batch_size);
        self.ahead
            .pieces
            .give(std::mem::take(&mut self.batch), size)
    }

    fn compress(&self, bytes: Arc<Vec<u8>>) -> Result<(), Closed> {
        let (sender, done) = mpsc::sync_channel(1);
        let size = bytes.len() + OVERHEAD;
        let pending = Pending {
            bytes: Arc::clone(&bytes),
            done,
        };
        self.ahead.pending.give(pending, size)?;
        let job = Job {
            bytes,
            done: sender,
        };
        self.jobs.send(job).map_err(|_| Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BlockSize, Compression};
    use super::*;

    const BLOCK: usize = 4096;

    fn ahead(files: &[Source]) -> Ahead {
        let block_size = BlockSize::new(Some(BLOCK as u32)).unwrap();
        Ahead::new(
            Codec::new(Compression::Gzip, block_size.bytes()),
            files.len(),
        )
    }

    fn source(bytes: &[u8]) -> Source {
        Source::Bytes(bytes.into())
    }

    fn run<T>(ahead: &Ahead, files: &[Source], write: impl FnOnce() -> T) -> T {
        let files: Vec<_> = files.iter().collect();
        ahead.run(&files, write).unwrap()
    }

    #[test]
    fn pieces_come_in_order_with_an_end_for_each_file() {
        let files = [source(b"short"), source(b""), source(&[7; BLOCK + 10])];
        let ahead = ahead(&files);
        let pieces = run(&ahead, &files, || {
            let pieces = (0..6).map(|_| ahead.next_piece().unwrap().len());
            pieces.collect::<Vec<_>>()
        });
        assert_eq!(pieces, [5, 0, 0, BLOCK, 10, 0]);
    }

    #[test]
    fn a_writer_that_cuts_differently_gets_the_same_results() {
        // Enough that the queues are full while the writer does not take what it should.
        let content: Vec<u8> = (0..8_000_000_u32).map(|n| (n / 3) as u8).collect();
        let files = [source(&content), source(b"short"), source(b"short as well")];
        let ahead = ahead(&files);
        run(&ahead, &files, || {
            for _ in 0..3 {
                loop {
                    let piece = ahead.next_piece().unwrap();
                    if piece.is_empty() {
                        break;
                    }
                    let half = &piece[..piece.len() / 2];
                    assert_eq!(
                        ahead.compress(half).unwrap(),
                        ahead.codec.compress(half).unwrap()
                    );
                }
            }
            assert_eq!(
                ahead.compress(b"a table").unwrap(),
                ahead.codec.compress(b"a table").unwrap()
            );
        });
    }

    #[test]
    fn a_writer_that_gives_up_leaves_nobody_waiting() {
        let files: Vec<_> = (0..50).map(|_| source(&[1; 1_000_000])).collect();
        let ahead = ahead(&files);
        assert_eq!(run(&ahead, &files, || 5), 5);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error_in_its_place() {
        let files = [source(b"x"), Source::File("/nowhere/at/all".into())];
        let ahead = ahead(&files);
        run(&ahead, &files, || {
            assert_eq!(ahead.next_piece().unwrap().len(), 1);
            assert_eq!(ahead.next_piece().unwrap().len(), 0);
            let error = ahead.next_piece().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
        });
    }
}
