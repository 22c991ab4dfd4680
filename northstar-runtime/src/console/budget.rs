//! Memory for long lines, and for answers that wait.
//!
//! All connections of one origin share a [`Share`], and all shares of a listener together may use twice as much as one
//! of them. So whoever fills its share delays itself and nobody else. Two that fill theirs together delay all others,
//! but not for long: while somebody waits, memory is recalled from whoever has had it for [`LEASE`], and its connection
//! ends. A container has a share of its own, which is as large as its longest line: it has one connection, and there
//! are as many shares as there are containers.

use super::peer::Origin;
use crate::config::MAX_REQUEST_SIZE;
use std::time::Duration;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep_until},
};

/// The unit in bytes.
const UNIT: usize = 1024;
/// What one origin may use in bytes: the longest line that can be allowed fits.
pub(super) const SHARE: usize = MAX_REQUEST_SIZE + UNIT;
/// How many shares may be in full use at once at a listener.
const SHARES: usize = 2;
/// How long a line or its answer may hold memory that others wait for. Enough for the longest line at 64 Mbit/s.
const LEASE: Duration = Duration::from_secs(1);

/// What the connections of a listener may use.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    share: u32,
    total: Total,
    shares: Arc<Mutex<HashMap<Origin, Weak<Semaphore>>>>,
}

/// What the connections of one origin may use.
#[derive(Clone, Debug)]
pub(super) struct Share {
    units: u32,
    own: Arc<Semaphore>,
    /// Of the listener, if it is at one.
    total: Option<Total>,
}

/// What all origins of a listener have together.
#[derive(Clone, Debug)]
struct Total {
    room: Arc<Semaphore>,
    /// How many wait for it.
    waiting: Arc<watch::Sender<usize>>,
}

/// Counts as waiting as long as it lives.
struct Waiting<'a>(&'a watch::Sender<usize>);

impl Total {
    async fn take(&self, units: u32) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.room).try_acquire_many_owned(units) {
            return Some(permit);
        }
        self.waiting
            .send_modify(|waiting| *waiting = waiting.saturating_add(1));
        let _waiting = Waiting(&self.waiting);
        Arc::clone(&self.room).acquire_many_owned(units).await.ok()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0
            .send_modify(|waiting| *waiting = waiting.saturating_sub(1));
    }
}

/// A part of a share. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Memory {
    own: OwnedSemaphorePermit,
    total: Option<OwnedSemaphorePermit>,
    /// Who waits for the total.
    waiting: Option<watch::Receiver<usize>>,
    since: Instant,
}

impl Budget {
    /// Room for the longest line of two origins.
    pub(super) fn new() -> Budget {
        Budget::with_share(SHARE)
    }

    fn with_share(bytes: usize) -> Budget {
        let share = units(bytes);
        Budget {
            share,
            total: Total {
                room: Arc::new(Semaphore::new((share as usize).saturating_mul(SHARES))),
                waiting: Arc::new(watch::Sender::new(0)),
            },
            shares: Arc::default(),
        }
    }

    /// The share of an origin. It is one and the same as long as somebody has it.
    pub(super) fn share(&self, origin: Origin) -> Share {
        // Every change is a single one: a panic elsewhere leaves the map right.
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let own = shares.get(&origin).and_then(Weak::upgrade);
        let own = own.unwrap_or_else(|| {
            shares.retain(|_, share| share.strong_count() > 0);
            let own = Arc::new(Semaphore::new(self.share as usize));
            shares.insert(origin, Arc::downgrade(&own));
            own
        });
        Share {
            units: self.share,
            own,
            total: Some(self.total.clone()),
        }
    }
}

impl Share {
    /// A share of `bytes` that has nothing to do with any other.
    pub(super) fn alone(bytes: usize) -> Share {
        let units = units(bytes);
        Share {
            units,
            own: Arc::new(Semaphore::new(units as usize)),
            total: None,
        }
    }

    /// As [`take`](Share::take), if it can be had at once.
    pub(super) fn try_take(&self, bytes: usize) -> Option<Memory> {
        let units = units(bytes).min(self.units);
        let own = Arc::clone(&self.own).try_acquire_many_owned(units).ok()?;
        let total = match &self.total {
            Some(total) => Some(Arc::clone(&total.room).try_acquire_many_owned(units).ok()?),
            None => None,
        };
        Some(self.memory(own, total))
    }

    /// Waits for `bytes`, or for the whole share if that is less.
    ///
    /// Nothing that has some may need more to come to its end: two that do can wait for each other. For the same reason
    /// the share comes before the total: who has its part of the total waits for nothing any more.
    pub(super) async fn take(&self, bytes: usize) -> Option<Memory> {
        let units = units(bytes).min(self.units);
        let own = Arc::clone(&self.own).acquire_many_owned(units).await.ok()?;
        let total = match &self.total {
            Some(total) => Some(total.take(units).await?),
            None => None,
        };
        Some(self.memory(own, total))
    }

    fn memory(&self, own: OwnedSemaphorePermit, total: Option<OwnedSemaphorePermit>) -> Memory {
        Memory {
            own,
            total,
            waiting: self.total.as_ref().map(|total| total.waiting.subscribe()),
            since: Instant::now(),
        }
    }
}

impl Memory {
    /// Resolves when others wait for it and it has been held for long enough.
    pub(super) async fn recalled(&self) {
        let Some(waiting) = &self.waiting else {
            return std::future::pending().await;
        };
        sleep_until(self.since + LEASE).await;
        let mut waiting = waiting.clone();
        if waiting.wait_for(|waiting| *waiting > 0).await.is_err() {
            // There is no listener any more.
            std::future::pending().await
        }
    }

    /// How much it is.
    pub(super) fn bytes(&self) -> usize {
        self.own.num_permits().saturating_mul(UNIT)
    }

    /// Gives back what is more than `bytes`.
    pub(super) fn shrink(&mut self, bytes: usize) {
        let keep = units(bytes) as usize;
        for permit in [Some(&mut self.own), self.total.as_mut()]
            .into_iter()
            .flatten()
        {
            drop(permit.split(permit.num_permits().saturating_sub(keep)));
        }
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn now(share: &Share, bytes: usize) -> Option<Memory> {
        share.take(bytes).now_or_never().flatten()
    }

    #[test]
    fn an_origin_that_takes_all_it_can_leaves_as_much_to_another() {
        let budget = Budget::with_share(8 * UNIT);
        let greedy = budget.share(Origin::User(1));
        let memory: Vec<_> = std::iter::from_fn(|| now(&greedy, UNIT)).collect();
        assert_eq!(memory.len(), 8);
        assert!(now(&budget.share(Origin::User(1)), UNIT).is_none());
        assert!(now(&budget.share(Origin::User(2)), 8 * UNIT).is_some());
        drop(memory);
        assert!(now(&greedy, 8 * UNIT).is_some());
    }

    #[test]
    fn who_waits_for_its_share_takes_nothing_of_the_total() {
        let budget = Budget::with_share(8 * UNIT);
        let greedy = budget.share(Origin::User(1));
        let _held = now(&greedy, 8 * UNIT).unwrap();
        let mut waiting = Box::pin(greedy.take(8 * UNIT));
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(now(&budget.share(Origin::User(2)), 8 * UNIT).is_some());
    }

    #[test]
    fn all_origins_together_have_two_shares() {
        let budget = Budget::with_share(8 * UNIT);
        let shares = [1, 2, 3].map(|uid| budget.share(Origin::User(uid)));
        let first = now(&shares[0], 8 * UNIT).unwrap();
        let _second = now(&shares[1], 8 * UNIT).unwrap();
        assert!(now(&shares[2], UNIT).is_none());
        drop(first);
        assert!(now(&shares[2], 8 * UNIT).is_some());
    }

    #[test]
    fn more_than_a_share_is_the_share_and_the_rest_can_be_given_back() {
        let share = Share::alone(8 * UNIT);
        let mut memory = now(&share, 1 << 30).unwrap();
        assert!(now(&share, 1).is_none());
        memory.shrink(7 * UNIT);
        assert!(now(&share, 2 * UNIT).is_none());
        assert!(now(&share, UNIT).is_some());
    }

    #[test]
    fn origins_that_are_gone_are_forgotten() {
        let budget = Budget::with_share(UNIT);
        for uid in 0..100 {
            drop(now(&budget.share(Origin::User(uid)), UNIT).unwrap());
        }
        assert_eq!(budget.shares.lock().unwrap().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_recalled_only_when_somebody_waits_for_it() {
        let budget = Budget::with_share(8 * UNIT);
        let [one, two, three] = [1, 2, 3].map(|uid| budget.share(Origin::User(uid)));
        let first = now(&one, 8 * UNIT).unwrap();
        let second = now(&two, 8 * UNIT).unwrap();
        tokio::time::advance(LEASE * 10).await;
        assert!(first.recalled().now_or_never().is_none());
        let asked = Instant::now();
        let waiting = tokio::spawn(async move { three.take(UNIT).await.is_some() });
        tokio::select! {
            () = first.recalled() => {}
            () = second.recalled() => {}
        }
        assert_eq!(asked.elapsed(), Duration::ZERO);
        drop(first);
        assert!(waiting.await.unwrap());
        assert!(second.recalled().now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_not_cut_short() {
        let budget = Budget::with_share(8 * UNIT);
        let [one, two, three] = [1, 2, 3].map(|uid| budget.share(Origin::User(uid)));
        let first = now(&one, 8 * UNIT).unwrap();
        let _second = now(&two, 8 * UNIT).unwrap();
        let started = Instant::now();
        let waiting = tokio::spawn(async move { three.take(UNIT).await.is_some() });
        first.recalled().await;
        assert_eq!(started.elapsed().as_millis() / 100, 10);
        waiting.abort();
    }
}
