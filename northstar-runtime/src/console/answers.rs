//! Memory for answers on their way to a client.
//!
//! Who asks and does not read makes answers wait. So they are paid for before their requests are begun: a connection may
//! have [`FREE`] of them, and what goes beyond that comes out of its [`Share`], as long lines do. A client that does not
//! read delays its own next requests by that, and of other clients of its origin those with long answers only.

use super::budget::{Memory, Share};
use northstar_manifest::Container;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What every connection may have on its way without asking, in bytes.
pub(super) const FREE: usize = 32 * 1024;

/// Containers whose length is remembered. Far more than there are in a system.
const REMEMBERED: usize = 4096;

/// How long the last answers about containers were: the next ones will not be much longer.
#[derive(Debug, Default)]
pub(super) struct Lengths(Mutex<HashMap<Container, usize>>);

impl Lengths {
    /// In bytes.
    pub(super) fn of(&self, container: &Container) -> Option<usize> {
        let lengths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lengths.get(container).copied()
    }

    pub(super) fn remember(&self, container: &Container, bytes: usize) {
        // Every change is a single one: a panic elsewhere leaves the map right.
        let mut lengths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(length) = lengths.get_mut(container) {
            *length = bytes;
            return;
        }
        if lengths.len() >= REMEMBERED {
            lengths.clear();
        }
        lengths.insert(container.clone(), bytes);
    }
}

/// Where the answers of one connection get their memory.
#[derive(Debug)]
pub(super) struct Answers {
    /// In bytes.
    free: Arc<Semaphore>,
    share: Share,
}

/// Memory of one request or its answer. Dropping it gives it back.
#[derive(Debug, Default)]
pub(super) struct Held {
    free: Option<OwnedSemaphorePermit>,
    memory: Option<Memory>,
}

impl Answers {
    pub(super) fn new(share: Share) -> Answers {
        Answers {
            free: Arc::new(Semaphore::new(FREE)),
            share,
        }
    }

    /// Waits for memory for an answer of `bytes`, or for the whole share if that is less.
    ///
    /// Who waits may have some already: that belongs to requests that end without this one.
    pub(super) async fn hold(&self, bytes: usize) -> Held {
        if let Some(held) = self.try_hold(bytes) {
            return held;
        }
        let free = async {
            match permits(bytes) {
                Some(permits) => Arc::clone(&self.free)
                    .acquire_many_owned(permits)
                    .await
                    .ok(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            free = free => Held { free, memory: None },
            memory = self.share.take(bytes) => Held { free: None, memory },
        }
    }

    /// As [`hold`](Answers::hold), if it can be had at once.
    pub(super) fn try_hold(&self, bytes: usize) -> Option<Held> {
        let free = permits(bytes)
            .and_then(|permits| Arc::clone(&self.free).try_acquire_many_owned(permits).ok());
        let memory = match free {
            Some(_) => None,
            None => Some(self.share.try_take(bytes)?),
        };
        Some(Held { free, memory })
    }

    /// Memory that is free on this connection, for what may as well be left out.
    pub(super) fn spare(&self, bytes: usize) -> Option<Held> {
        let free = Arc::clone(&self.free).try_acquire_many_owned(permits(bytes)?);
        Some(Held {
            free: Some(free.ok()?),
            memory: None,
        })
    }
}

impl Held {
    /// Whether an answer of `bytes` is paid for.
    pub(super) fn covers(&self, bytes: usize) -> bool {
        let free = self
            .free
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        bytes <= free || bytes <= self.memory.as_ref().map_or(0, Memory::bytes)
    }

    /// Gives back what is more than `bytes`.
    pub(super) fn shrink(&mut self, bytes: usize) {
        if let Some(free) = &mut self.free {
            drop(free.split(free.num_permits().saturating_sub(bytes)));
        }
        if let Some(memory) = &mut self.memory {
            memory.shrink(bytes);
        }
    }

    /// Memory that others can wait for.
    pub(super) fn memory(&self) -> Option<&Memory> {
        self.memory.as_ref()
    }
}

impl From<Memory> for Held {
    fn from(memory: Memory) -> Held {
        Held {
            free: None,
            memory: Some(memory),
        }
    }
}

/// What is free may be enough for it.
fn permits(bytes: usize) -> Option<u32> {
    u32::try_from(bytes).ok().filter(|_| bytes <= FREE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn now(answers: &Answers, bytes: usize) -> Option<Held> {
        answers.hold(bytes).now_or_never()
    }

    #[test]
    fn what_is_free_comes_first_and_the_share_next() {
        let share = Share::alone(64 * 1024);
        let answers = Answers::new(share.clone());
        let free = now(&answers, FREE).unwrap();
        assert!(free.covers(FREE) && !free.covers(FREE + 1));
        assert!(free.memory().is_none());
        let paid = now(&answers, 60 * 1024).unwrap();
        assert!(paid.covers(60 * 1024) && !paid.covers(61 * 1024));
        assert!(paid.memory().is_some());
        assert!(now(&answers, 8 * 1024).is_none());
        assert!(answers.spare(1).is_none());
        // Another connection of the same origin goes on as long as its answers are short.
        let other = Answers::new(share);
        assert!(now(&other, FREE + 1).is_none());
        assert!(now(&other, FREE).is_some());
    }

    #[test]
    fn what_is_not_needed_is_given_back() {
        let answers = Answers::new(Share::alone(64 * 1024));
        let mut free = now(&answers, FREE).unwrap();
        free.shrink(1024);
        assert!(free.covers(1024) && !free.covers(1025));
        let mut paid = now(&answers, 64 * 1024).unwrap();
        paid.shrink(1024);
        assert!(paid.covers(1024) && !paid.covers(2048));
        assert!(now(&answers, FREE - 1024).is_some());
        assert!(now(&answers, 63 * 1024).is_some());
        // There is never more than before.
        paid.shrink(1 << 30);
        assert!(!paid.covers(2048));
    }

    #[tokio::test]
    async fn who_waits_takes_what_comes_first() {
        let share = Share::alone(64 * 1024);
        let answers = Answers::new(share.clone());
        for give_back in [0, 1] {
            let mut held = [
                Some(now(&answers, FREE).unwrap()),
                Some(now(&answers, 64 * 1024).unwrap()),
            ];
            let waiting = answers.hold(1024);
            tokio::pin!(waiting);
            assert!((&mut waiting).now_or_never().is_none());
            held[give_back] = None;
            assert!(waiting.await.covers(1024));
        }
    }

    #[test]
    fn lengths_are_remembered_and_not_for_ever() {
        let lengths = Lengths::default();
        let container = |number: usize| format!("a{number}:1.0.0").parse().unwrap();
        assert_eq!(lengths.of(&container(0)), None);
        for bytes in [1, 2] {
            lengths.remember(&container(0), bytes);
            assert_eq!(lengths.of(&container(0)), Some(bytes));
        }
        (0..3 * REMEMBERED).for_each(|number| lengths.remember(&container(number), number));
        assert!(lengths.0.lock().unwrap().len() <= REMEMBERED);
    }

    #[test]
    fn more_than_there_is_takes_all_there_is() {
        let answers = Answers::new(Share::alone(64 * 1024));
        let held = now(&answers, 1 << 30).unwrap();
        assert!(held.covers(64 * 1024) && !held.covers(1 << 30));
    }
}
