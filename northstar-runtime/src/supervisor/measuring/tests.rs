use super::{
    super::{Job, turns::Asker},
    *,
};
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
    assert_eq!(read.load(Ordering::SeqCst), 0);
    // All places are free again.
    let free = async {
        while measuring.state().busy > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(DEADLINE, free).await.unwrap();
}

/// A reading that waits at the gate and notes when it was its turn.
fn noting<K: Clone + Send + 'static>(
    measuring: &Measuring,
    asker: &Asker,
    (gate, noted): (&Arc<RwLock<()>>, &Arc<Mutex<Vec<K>>>),
    name: K,
) -> tokio::sync::oneshot::Receiver<K> {
    let (reply, answer) = Reply::channel(Job::default());
    let (gate, noted) = (Arc::clone(gate), Arc::clone(noted));
    measuring.answer(reply.by(asker.clone()), move || {
        drop(gate.read().unwrap());
        noted.lock().unwrap().push(name.clone());
        name
    });
    answer
}

#[test]
fn whoever_asks_once_does_not_wait_for_the_flood_of_another() {
    const FLOOD: usize = 1000;
    let runtime = Builder::new_multi_thread().worker_threads(1).build();
    let runtime = runtime.unwrap();
    let gate = Arc::new(RwLock::new(()));
    let noted = Arc::<Mutex<Vec<_>>>::default();
    let closed = gate.write().unwrap();
    let measuring = Measuring::new();
    let answers: Vec<_> = runtime.block_on(async {
        let flooding = Asker::default();
        let (same, other) = (flooding.another(), Asker::default());
        let ask = |asker, name| noting(&measuring, asker, (&gate, &noted), name);
        let flood = (0..FLOOD).map(|_| ask(&flooding, "flood"));
        let mut answers: Vec<_> = flood.collect();
        answers.push(ask(&same, "same origin"));
        answers.push(ask(&other, "other origin"));
        answers
    });
    drop(closed);
    runtime.block_on(futures::future::join_all(answers));
    let noted = noted.lock().unwrap();
    assert_eq!(noted.len(), FLOOD + 2);
    for name in ["same origin", "other origin"] {
        let before = noted.iter().take_while(|noted| **noted != name).count();
        // What had begun, what has its turn before, and as much again that ends in any order.
        assert!(before <= 3 * PLACES, "{name} came after {before}");
    }
}

#[tokio::test]
async fn who_comes_and_goes_leaves_nothing_behind() {
    let gate = Arc::new(RwLock::new(()));
    let noted = Arc::<Mutex<Vec<_>>>::default();
    let measuring = Measuring::new();
    let closed = gate.write().unwrap();
    let asker = Asker::default();
    let ask = |name| noting(&measuring, &asker.another(), (&gate, &noted), name);
    let waiting: Vec<_> = (0..10).map(|_| ask("waits")).collect();
    for _ in 0..10 * TIDY {
        drop(ask("gone"));
    }
    assert!(measuring.state().waiting.len() <= TIDY);
    drop(closed);
    futures::future::join_all(waiting).await;
    let waited = noted
        .lock()
        .unwrap()
        .iter()
        .filter(|name| **name == "waits")
        .count();
    assert_eq!(waited, 10);
}
