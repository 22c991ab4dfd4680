//! Work on pieces, one after the other, that waits for a disk or takes a processor's time.

use std::mem;

use bytes::Bytes;
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    task::{JoinHandle, spawn_blocking},
};

use super::InstallError;

/// What takes pieces.
pub(super) trait Work: Send + 'static {
    /// Takes the next piece. Blocks. After an error there is no next one.
    ///
    /// # Errors
    ///
    /// Why nothing will come of this.
    fn take(&mut self, piece: &[u8]) -> Result<(), InstallError>;
}

/// Work that is done on one blocking thread at a time, and on none while there is nothing to do.
///
/// If this is dropped, a thread that is working ends with its piece, and the work goes with it.
#[derive(Debug)]
pub(super) struct Worker<W> {
    state: State<W>,
    sender: mpsc::Sender<Bytes>,
}

/// The pieces that wait.
type Waiting = mpsc::Receiver<Bytes>;

#[derive(Debug)]
enum State<W> {
    Idle(Box<W>, Waiting),
    Busy(JoinHandle<Result<(Box<W>, Waiting), InstallError>>),
    /// After an error.
    Ended,
}

impl<W: Work> Worker<W> {
    /// Work for which up to `ahead` pieces may wait.
    pub(super) fn new(work: W, ahead: usize) -> Self {
        let (sender, pieces) = mpsc::channel(ahead);
        Self {
            state: State::Idle(Box::new(work), pieces),
            sender,
        }
    }

    /// Hands over the next piece. This waits only while as many as may wait do. If the future is dropped before it is done,
    /// the piece may not have been handed over.
    ///
    /// # Errors
    ///
    /// The one of [`Work::take`] with an earlier piece, once; [`InstallError::Ended`] after that.
    pub(super) async fn push(&mut self, mut piece: Bytes) -> Result<(), InstallError> {
        loop {
            match &mut self.state {
                State::Ended => return Err(InstallError::Ended),
                State::Idle(..) => {
                    let sent = self.sender.try_send(piece);
                    self.start();
                    match sent {
                        Ok(()) => return Ok(()),
                        Err(TrySendError::Full(back) | TrySendError::Closed(back)) => piece = back,
                    }
                }
                // It may be about to end and never see this piece. Then the next call starts it again.
                State::Busy(thread) => {
                    let ended = tokio::select! {
                        biased;
                        result = &mut *thread => Some(result),
                        place = self.sender.reserve() => match place {
                            Ok(place) => {
                                place.send(piece);
                                return Ok(());
                            }
                            // It has an error and is about to tell it.
                            Err(_) => None,
                        },
                    };
                    let result = match ended {
                        Some(result) => result,
                        None => thread.await,
                    };
                    self.ended(result.unwrap_or(Err(InstallError::Ended)))?;
                }
            }
        }
    }

    /// Waits for all pieces to be taken, and gives the work.
    ///
    /// # Errors
    ///
    /// As [`Worker::push`].
    pub(super) async fn settle(&mut self) -> Result<&mut W, InstallError> {
        loop {
            match &mut self.state {
                State::Ended => return Err(InstallError::Ended),
                State::Idle(_, pieces) if !pieces.is_empty() => self.start(),
                State::Idle(..) => break,
                State::Busy(thread) => {
                    let result = thread.await;
                    self.ended(result.unwrap_or(Err(InstallError::Ended)))?;
                }
            }
        }
        match &mut self.state {
            State::Idle(work, _) => Ok(work),
            _ => Err(InstallError::Ended),
        }
    }

    /// [`Worker::settle`], and then there is nothing more to do.
    ///
    /// # Errors
    ///
    /// As [`Worker::push`].
    pub(super) async fn into_work(mut self) -> Result<Box<W>, InstallError> {
        self.settle().await?;
        match self.state {
            State::Idle(work, _) => Ok(work),
            _ => Err(InstallError::Ended),
        }
    }

    /// Takes no more pieces, and waits for the work to be gone.
    pub(super) async fn abandon(self) {
        // The thread ends with the piece it has, and the work with it.
        drop(self.sender);
        // Whatever comes of it is thrown away. It may have to be deleted from a disk.
        let _ = match self.state {
            State::Busy(thread) => thread.await.map(drop),
            State::Idle(work, _) => spawn_blocking(|| drop(work)).await,
            State::Ended => return,
        };
    }

    fn start(&mut self) {
        self.state = match mem::replace(&mut self.state, State::Ended) {
            State::Idle(work, pieces) => State::Busy(spawn_blocking(|| run(work, pieces))),
            state => state,
        };
    }

    fn ended(
        &mut self,
        result: Result<(Box<W>, Waiting), InstallError>,
    ) -> Result<(), InstallError> {
        // An error is told once.
        self.state = State::Ended;
        let (work, pieces) = result?;
        self.state = State::Idle(work, pieces);
        Ok(())
    }
}

fn run<W: Work>(mut work: Box<W>, mut pieces: Waiting) -> Result<(Box<W>, Waiting), InstallError> {
    // If it is closed, nobody is there any more who would want the result.
    while !pieces.is_closed() {
        let Ok(piece) = pieces.try_recv() else {
            return Ok((work, pieces));
        };
        work.take(&piece)?;
    }
    Err(InstallError::Ended)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
            mpsc as blocking,
        },
        time::Duration,
    };
    use tokio::time::{error::Elapsed, timeout};

    /// Takes a piece for each permission and ends when there is none any more; refuses empty pieces.
    #[derive(Debug)]
    struct Taking {
        taken: Vec<u8>,
        permissions: blocking::Receiver<()>,
        /// How many it took. Who else has this knows whether the work is still there.
        count: Arc<AtomicUsize>,
    }

    impl Work for Taking {
        fn take(&mut self, piece: &[u8]) -> Result<(), InstallError> {
            self.permissions.recv().map_err(|_| InstallError::Ended)?;
            if piece.is_empty() {
                return Err(InstallError::TooLong { declared: 7 });
            }
            self.taken.extend_from_slice(piece);
            self.count.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }

    fn worker() -> (Worker<Taking>, blocking::Sender<()>, Arc<AtomicUsize>) {
        let (sender, permissions) = blocking::channel();
        let count = Arc::default();
        let taking = Taking {
            taken: Vec::new(),
            permissions,
            count: Arc::clone(&count),
        };
        (Worker::new(taking, 2), sender, count)
    }

    fn piece(bytes: &'static str) -> Bytes {
        Bytes::from_static(bytes.as_bytes())
    }

    #[tokio::test]
    async fn pieces_are_taken_in_order_however_often_it_was_idle() {
        let (mut worker, permit, _count) = worker();
        for round in ["abc", "def", "ghi"] {
            for _ in 0..3 {
                permit.send(()).unwrap();
            }
            for byte in 0..3 {
                worker.push(piece(&round[byte..=byte])).await.unwrap();
            }
            assert!(
                worker
                    .settle()
                    .await
                    .unwrap()
                    .taken
                    .ends_with(round.as_bytes())
            );
        }
        assert_eq!(worker.into_work().await.unwrap().taken, b"abcdefghi");
    }

    #[tokio::test]
    async fn a_piece_waits_for_those_before_it() {
        let (mut worker, permit, _count) = worker();
        // One is being taken, and two wait.
        for _ in 0..3 {
            worker.push(piece("x")).await.unwrap();
        }
        let fourth = timeout(Duration::from_millis(200), worker.push(piece("z")));
        let _: Elapsed = fourth.await.unwrap_err();
        for _ in 0..4 {
            permit.send(()).unwrap();
        }
        worker.push(piece("y")).await.unwrap();
        assert_eq!(worker.into_work().await.unwrap().taken, b"xxxy");
    }

    #[tokio::test]
    async fn an_error_is_told_once_and_is_the_end() {
        let (mut worker, permit, count) = worker();
        permit.send(()).unwrap();
        worker.push(piece("")).await.unwrap();
        let error = worker.settle().await.map(drop).unwrap_err();
        assert!(
            matches!(error, InstallError::TooLong { declared: 7 }),
            "{error:?}"
        );
        // What was worked on is gone already.
        assert_eq!(Arc::strong_count(&count), 1);
        for _ in 0..2 {
            let error = worker.push(piece("x")).await.unwrap_err();
            assert!(matches!(error, InstallError::Ended), "{error:?}");
        }
        let error = worker.into_work().await.map(drop).unwrap_err();
        assert!(matches!(error, InstallError::Ended), "{error:?}");
    }

    #[tokio::test]
    async fn the_first_error_is_the_one_that_is_told_whenever_it_comes() {
        for round in 0..2_000 {
            let (mut worker, permit, _count) = worker();
            for _ in 0..=round % 4 {
                permit.send(()).unwrap();
            }
            let mut pieces = (0..).map(|number| piece(if number == round % 4 { "" } else { "x" }));
            let error = loop {
                let piece = pieces.next().unwrap();
                if let Err(error) = worker.push(piece).await {
                    break error;
                }
            };
            assert!(
                matches!(error, InstallError::TooLong { declared: 7 }),
                "{error:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_worker_that_is_dropped_ends_with_the_piece_it_has() {
        let (mut worker, permit, mut count) = worker();
        for _ in 0..3 {
            worker.push(piece("x")).await.unwrap();
        }
        drop(worker);
        // For the first piece. The work is gone before a second one is taken.
        permit.send(()).unwrap();
        while Arc::get_mut(&mut count).is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(permit.send(()).is_err());
    }

    #[tokio::test]
    async fn an_abandoned_worker_takes_none_of_the_pieces_that_wait() {
        let (mut worker, permit, mut count) = worker();
        for _ in 0..3 {
            worker.push(piece("x")).await.unwrap();
        }
        let abandoning = tokio::spawn(worker.abandon());
        tokio::task::yield_now().await;
        permit.send(()).unwrap();
        // For those that it may not take; it may be gone.
        let _ = (permit.send(()), permit.send(()));
        abandoning.await.unwrap();
        assert_eq!(count.load(Ordering::Relaxed), 1);
        assert!(Arc::get_mut(&mut count).is_some());

        let (worker, _permit, mut count) = self::worker();
        worker.abandon().await;
        assert!(Arc::get_mut(&mut count).is_some());
    }
}
