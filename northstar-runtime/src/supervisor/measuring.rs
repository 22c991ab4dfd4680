//! Reading the kernel's numbers about containers. It blocks, so it needs threads, and clients decide how often it is asked
//! for: it gets a few threads at a time, and all others stay with whoever mounts, installs and starts.

use super::{command::Reply, machine::answer};
use std::sync::Arc;
use tokio::{sync::Semaphore, task::spawn_blocking};

/// Readings that are under way at a time.
const PLACES: usize = 4;

/// The threads for readings. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Measuring {
    places: Arc<Semaphore>,
}

impl Measuring {
    pub(super) fn new() -> Measuring {
        Measuring {
            places: Arc::new(Semaphore::new(PLACES)),
        }
    }

    /// Answers with what `read` finds, after all that came before has begun. Whoever does not wait any more costs nothing.
    pub(super) fn answer<T, R>(&self, reply: Reply<T>, read: R)
    where
        T: Send + 'static,
        R: FnOnce() -> T + Send + 'static,
    {
        let places = Arc::clone(&self.places);
        tokio::spawn(async move {
            // The semaphore is never closed.
            let Ok(place) = places.acquire_owned().await else {
                return;
            };
            if reply.is_abandoned() {
                return;
            }
            spawn_blocking(move || {
                answer(reply, read());
                drop(place);
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Job, *};
    use std::{
        sync::{
            RwLock,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };
    use tokio::{runtime::Builder, time::timeout};

    /// Nothing takes as long as this unless it is broken.
    const DEADLINE: Duration = Duration::from_secs(20);

    /// How many are under way, and the most that ever were.
    #[derive(Default)]
    struct Count {
        now: AtomicUsize,
        most: AtomicUsize,
    }

    impl Count {
        fn around(&self, work: impl FnOnce()) {
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            work();
            self.now.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_flood_of_readings_leaves_threads_to_others() {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(PLACES + 1)
            .enable_time()
            .build()
            .unwrap();
        let gate = Arc::new(RwLock::new(()));
        let count = Arc::<Count>::default();
        let closed = gate.write().unwrap();
        let answers: Vec<_> = runtime.block_on(async {
            let measuring = Measuring::new();
            let flood = (0..1000).map(|number| {
                let (reply, answer) = Reply::channel(Job::default());
                let (gate, count) = (Arc::clone(&gate), Arc::clone(&count));
                measuring.answer(reply, move || {
                    count.around(|| drop(gate.read().unwrap()));
                    number
                });
                answer
            });
            let answers = flood.collect();
            while count.now.load(Ordering::SeqCst) < PLACES {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let other = timeout(DEADLINE, spawn_blocking(|| "done")).await;
            assert_eq!(other.unwrap().unwrap(), "done");
            answers
        });
        drop(closed);
        let numbers = runtime.block_on(futures::future::join_all(answers));
        let expected: Vec<_> = (0..1000).map(Ok).collect();
        assert_eq!(numbers, expected);
        assert_eq!(count.most.load(Ordering::SeqCst), PLACES);
    }

    #[tokio::test]
    async fn nothing_is_read_for_who_is_gone() {
        let measuring = Measuring::new();
        let (reply, answer) = Reply::channel(Job::default());
        drop(answer);
        let read = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&read);
        measuring.answer(reply, move || counted.fetch_add(1, Ordering::SeqCst));
        let (reply, answer) = Reply::channel(Job::default());
        let counted = Arc::clone(&read);
        measuring.answer(reply, move || counted.load(Ordering::SeqCst));
        assert_eq!(answer.await, Ok(0));
        // All places are free again.
        let all = u32::try_from(PLACES).unwrap();
        let free = timeout(DEADLINE, measuring.places.acquire_many(all)).await;
        assert!(free.unwrap().is_ok());
        assert_eq!(read.load(Ordering::SeqCst), 0);
    }
}
