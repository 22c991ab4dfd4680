//! How many connections one listener carries.
//!
//! A connection is *pending* until its `connect` was answered, then *established*. The two are counted apart, so that
//! clients that never say a word cannot take the places of those that work: a new pending connection ends the oldest
//! one when there are too many, and an established one counts against the total and against its peer.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio_util::sync::CancellationToken;

use super::{peer::Origin, throttle::Throttle};
use crate::{config::ListenerOptions, supervisor::Asker};
use std::time::Duration;
use tokio::time::sleep_until;

/// How much of a pause all connections of a peer together may make up for.
const PEER_BURST: Duration = Duration::from_millis(100);

/// The places of one listener.
#[derive(Debug)]
pub(super) struct Slots {
    limits: ListenerOptions,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Ids are handed out in order: the first is the oldest.
    next: u64,
    pending: BTreeMap<u64, CancellationToken>,
    established: usize,
    by_origin: HashMap<Origin, OfPeer>,
}

/// What the connections of one peer share.
#[derive(Debug)]
struct OfPeer {
    connections: usize,
    throttle: Throttle,
    asker: Asker,
}

/// The place of a connection that has not completed `connect`. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Pending {
    slots: Arc<Slots>,
    id: u64,
    evicted: CancellationToken,
}

/// The place of a connection that has completed `connect`. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Established {
    slots: Arc<Slots>,
    origin: Origin,
    asker: Asker,
}

/// There is no place for one more established connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    #[error("the listener has {0} connections, as many as it may have")]
    Listener(usize),
    #[error("the peer has {0} connections, as many as it may have")]
    Peer(usize),
}

impl Slots {
    pub(super) fn new(limits: ListenerOptions) -> Arc<Slots> {
        Arc::new(Slots {
            limits,
            state: Mutex::default(),
        })
    }

    /// A place for a new connection. Takes it from the oldest pending one if there is none left.
    pub(super) fn admit(self: &Arc<Slots>) -> Pending {
        let evicted = CancellationToken::new();
        let mut state = self.state();
        while state.pending.len() >= self.limits.max_pending_connections {
            state.evict_oldest();
        }
        let id = state.next;
        state.next += 1;
        state.pending.insert(id, evicted.clone());
        drop(state);
        Pending {
            slots: Arc::clone(self),
            id,
            evicted,
        }
    }

    /// Ends the oldest pending connection, for its descriptor.
    pub(super) fn evict_oldest(&self) {
        self.state().evict_oldest();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The counters are changed in one go: a panic elsewhere leaves them right.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn evict_oldest(&mut self) {
        if let Some((_, evicted)) = self.pending.pop_first() {
            evicted.cancel();
        }
    }
}

impl OfPeer {
    /// Nothing is known of the peer that would be different for a new one. Who has only closed its connections has used up what
    /// it may send all the same.
    fn is_forgotten(&self) -> bool {
        self.connections == 0 && self.throttle.is_rested()
    }
}

impl Pending {
    /// Resolves when the place was given to a newer connection.
    pub(super) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    /// The connection has completed `connect`.
    pub(super) fn establish(self, origin: Origin) -> Result<Established, Full> {
        let limits = &self.slots.limits;
        let mut state = self.slots.state();
        if state.established >= limits.max_connections {
            return Err(Full::Listener(state.established));
        }
        // Whoever has come back meanwhile is found as it was.
        state.by_origin.retain(|_, of_peer| !of_peer.is_forgotten());
        let of_peer = state.by_origin.entry(origin).or_insert_with(|| OfPeer {
            connections: 0,
            throttle: Throttle::new(limits.max_requests_per_sec_per_peer, PEER_BURST),
            asker: Asker::default(),
        });
        if of_peer.connections >= limits.max_connections_per_peer {
            return Err(Full::Peer(of_peer.connections));
        }
        of_peer.connections += 1;
        let asker = of_peer.asker.another();
        state.established += 1;
        drop(state);
        Ok(Established {
            slots: Arc::clone(&self.slots),
            origin,
            asker,
        })
    }
}

impl Established {
    /// Whose turns the connection has.
    pub(super) fn asker(&self) -> Asker {
        self.asker.clone()
    }

    /// Waits until the peer may send one more request. Each connection waits for one at most, so nobody waits longer
    /// than all connections of the peer take for one request each.
    pub(super) async fn pass(&self) {
        let due = {
            let mut state = self.slots.state();
            let of_peer = state.by_origin.get_mut(&self.origin);
            of_peer.and_then(|of_peer| of_peer.throttle.reserve())
        };
        if let Some(due) = due {
            sleep_until(due).await;
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.slots.state().pending.remove(&self.id);
    }
}

impl Drop for Established {
    fn drop(&mut self) {
        let mut state = self.slots.state();
        state.established = state.established.saturating_sub(1);
        if let Some(of_peer) = state.by_origin.get_mut(&self.origin) {
            of_peer.connections = of_peer.connections.saturating_sub(1);
            if of_peer.is_forgotten() {
                state.by_origin.remove(&self.origin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    const ONE: Origin = Origin::User(1);
    const TWO: Origin = Origin::User(2);

    fn slots(total: usize, per_peer: usize, pending: usize) -> Arc<Slots> {
        Slots::new(ListenerOptions {
            max_connections: total,
            max_connections_per_peer: per_peer,
            max_pending_connections: pending,
            max_requests_per_sec_per_peer: 100.try_into().unwrap(),
        })
    }

    fn is_evicted(pending: &Pending) -> bool {
        pending.evicted().now_or_never().is_some()
    }

    #[test]
    fn the_oldest_pending_connection_is_evicted_first() {
        let slots = slots(9, 9, 2);
        let first = slots.admit();
        let second = slots.admit();
        assert!(!is_evicted(&first));
        let third = slots.admit();
        assert!(is_evicted(&first) && !is_evicted(&second));
        // Whoever is evicted has no place to give back.
        drop(first);
        drop(third);
        let _fourth = slots.admit();
        assert!(!is_evicted(&second));
        slots.evict_oldest();
        assert!(is_evicted(&second));
    }

    #[test]
    fn an_established_connection_is_no_longer_pending() {
        let slots = slots(9, 9, 1);
        let _established = slots.admit().establish(ONE).unwrap();
        let pending = slots.admit();
        assert!(!is_evicted(&pending));
        assert_eq!(slots.state().pending.len(), 1);
    }

    #[test]
    fn the_total_and_the_peer_have_their_limits() {
        let slots = slots(3, 2, 9);
        let a = slots.admit().establish(ONE).unwrap();
        let _b = slots.admit().establish(ONE).unwrap();
        assert_eq!(slots.admit().establish(ONE).unwrap_err(), Full::Peer(2));
        let _c = slots.admit().establish(TWO).unwrap();
        assert_eq!(slots.admit().establish(TWO).unwrap_err(), Full::Listener(3));
        drop(a);
        let _d = slots.admit().establish(ONE).unwrap();
    }

    #[test]
    fn everything_is_given_back() {
        let slots = slots(3, 2, 9);
        for _ in 0..10 {
            drop(slots.admit().establish(ONE).unwrap());
            drop(slots.admit());
        }
        let state = slots.state();
        assert_eq!((state.pending.len(), state.established), (0, 0));
        assert!(state.by_origin.is_empty());
    }

    /// Closing all connections and coming back gives no new burst.
    #[tokio::test(start_paused = true)]
    async fn the_rate_of_a_peer_outlasts_its_connections() {
        let slots = slots(9, 9, 9);
        let started = tokio::time::Instant::now();
        for _ in 0..20 {
            let one = slots.admit().establish(ONE).unwrap();
            for _ in 0..10 {
                one.pass().await;
            }
        }
        // 11 pass at once, 189 follow at 100 per second.
        assert_eq!(started.elapsed().as_millis() / 100, 18);
        // It is remembered no longer than that makes a difference.
        tokio::time::advance(Duration::from_secs(1)).await;
        drop(slots.admit().establish(TWO).unwrap());
        assert!(slots.state().by_origin.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_connections_of_a_peer_share_one_rate() {
        let slots = slots(9, 9, 9);
        let one = slots.admit().establish(ONE).unwrap();
        let same = slots.admit().establish(ONE).unwrap();
        let other = slots.admit().establish(TWO).unwrap();
        let started = tokio::time::Instant::now();
        for _ in 0..100 {
            one.pass().await;
            same.pass().await;
        }
        // 11 pass at once, 189 follow at 100 per second.
        assert_eq!(started.elapsed().as_millis() / 100, 18);
        let started = tokio::time::Instant::now();
        other.pass().await;
        assert_eq!(started.elapsed(), Duration::ZERO);
    }
}
