//! The last events, numbered: what a reader that is slow, or was away for a while, can still get.
//!
//! One ring for all readers. A reader is a number: that of the next event it wants. So readers cost nothing while they
//! do not read, and none of them can make the ring grow or hold up who writes into it.

use super::Event;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// An event with its number. The first one of a daemon is number 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// Its number.
    pub number: u64,
    /// What happened.
    pub event: Event,
}

/// Events that a reader will never get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// How many.
    pub missed: u64,
    /// Number of the last one of them.
    pub last: u64,
}

/// Writes events. When the last of its clones is gone the readers come to an end.
#[derive(Clone, Debug)]
pub struct Publisher {
    ring: Arc<Ring>,
    last: watch::Sender<u64>,
}

/// Makes readers.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    ring: Arc<Ring>,
    last: watch::Receiver<u64>,
}

/// Reads events in their order.
#[derive(Clone, Debug)]
pub struct Events {
    ring: Arc<Ring>,
    last: watch::Receiver<u64>,
    /// Number of the next event it wants.
    next: u64,
}

#[derive(Debug)]
struct Ring {
    capacity: usize,
    kept: Mutex<Kept>,
}

/// The events up to number `last`.
#[derive(Debug, Default)]
struct Kept {
    last: u64,
    events: VecDeque<Event>,
}

impl Kept {
    /// Number of the oldest event that is kept, or of the next one if none is.
    fn oldest(&self) -> u64 {
        let kept = u64::try_from(self.events.len()).unwrap_or(u64::MAX);
        self.last.saturating_sub(kept).saturating_add(1)
    }
}

impl Ring {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Number and events change together: a panic elsewhere leaves them right.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Publisher {
    /// A ring for `capacity` events, at least one.
    pub(crate) fn new(capacity: usize) -> Publisher {
        Publisher {
            ring: Arc::new(Ring {
                capacity: capacity.max(1),
                kept: Mutex::default(),
            }),
            last: watch::Sender::new(0),
        }
    }

    pub(super) fn journal(&self) -> Journal {
        Journal {
            ring: Arc::clone(&self.ring),
            last: self.last.subscribe(),
        }
    }

    /// Adds an event, in place of the oldest one if the ring is full.
    pub fn send(&self, event: Event) {
        let last = {
            let mut kept = self.ring.kept();
            if kept.events.len() >= self.ring.capacity {
                kept.events.pop_front();
            }
            kept.events.push_back(event);
            kept.last = kept.last.saturating_add(1);
            kept.last
        };
        // Two writers may get here in the other order; the readers look at the ring itself.
        self.last.send_replace(last);
    }
}

impl Journal {
    /// How many events are kept.
    pub(super) fn capacity(&self) -> usize {
        self.ring.capacity
    }

    /// A reader of all events from now on.
    pub(super) fn read(&self) -> Events {
        let next = self.ring.kept().last.saturating_add(1);
        self.reader(next)
    }

    /// A reader of all events after number `seen`, if they are all there.
    pub(super) fn read_after(&self, seen: u64) -> Option<Events> {
        let kept = self.ring.kept();
        let next = seen.saturating_add(1);
        let complete = seen <= kept.last && next >= kept.oldest();
        drop(kept);
        complete.then(|| self.reader(next))
    }

    fn reader(&self, next: u64) -> Events {
        Events {
            ring: Arc::clone(&self.ring),
            last: self.last.clone(),
            next,
        }
    }
}

impl Events {
    /// Number of the last event before the next one it wants: everything later it still gets.
    pub fn seen(&self) -> u64 {
        self.next.saturating_sub(1)
    }

    /// An event that is there already, or what was lost before it.
    pub fn ready(&mut self) -> Option<Result<Numbered, Lag>> {
        let kept = self.ring.kept();
        let number = self.next;
        if number > kept.last {
            return None;
        }
        let oldest = kept.oldest();
        if number < oldest {
            self.next = oldest;
            return Some(Err(Lag {
                missed: oldest.saturating_sub(number),
                last: oldest.saturating_sub(1),
            }));
        }
        let index = usize::try_from(number.saturating_sub(oldest)).ok()?;
        let event = kept.events.get(index)?.clone();
        self.next = number.saturating_add(1);
        Some(Ok(Numbered { number, event }))
    }

    /// The next event, or what was lost before it; `None` when there will be no more. Nothing is lost if the future is
    /// dropped.
    pub async fn next(&mut self) -> Option<Result<Numbered, Lag>> {
        loop {
            // First, so that what comes in between is seen as a change.
            self.last.mark_unchanged();
            if let Some(found) = self.ready() {
                return Some(found);
            }
            if self.last.changed().await.is_err() {
                return self.ready();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn event(number: u64) -> Event {
        Event::Started(format!("app:{number}.0.0").parse().unwrap())
    }

    fn numbered(number: u64) -> Option<Result<Numbered, Lag>> {
        let event = event(number);
        Some(Ok(Numbered { number, event }))
    }

    fn publish(publisher: &Publisher, numbers: std::ops::RangeInclusive<u64>) {
        numbers.for_each(|number| publisher.send(event(number)));
    }

    #[tokio::test]
    async fn a_reader_sees_what_comes_after_it_and_then_the_end() {
        let publisher = Publisher::new(4);
        let journal = publisher.journal();
        publish(&publisher, 1..=2);
        let mut events = journal.read();
        assert_eq!((events.seen(), events.ready()), (2, None));
        assert_eq!(events.next().now_or_never(), None);
        publish(&publisher, 3..=4);
        assert_eq!(events.next().await, numbered(3));
        drop(publisher);
        assert_eq!(events.next().await, numbered(4));
        assert_eq!(events.next().await, None);
    }

    /// Who goes on after the number that it was told misses nothing, also if something happens right then.
    #[test]
    fn what_comes_after_a_reader_is_not_seen_by_it() {
        let publisher = Publisher::new(4);
        let journal = publisher.journal();
        publish(&publisher, 1..=2);
        let mut events = journal.read();
        publish(&publisher, 3..=3);
        let mut again = journal.read_after(events.seen()).unwrap();
        assert_eq!(again.ready(), numbered(3));
        assert_eq!((events.seen(), events.ready()), (2, numbered(3)));
        assert_eq!(events.seen(), 3);
    }

    #[tokio::test]
    async fn a_waiting_reader_is_woken() {
        let publisher = Publisher::new(4);
        let mut events = publisher.journal().read();
        let reading = tokio::spawn(async move { events.next().await });
        tokio::task::yield_now().await;
        publish(&publisher, 1..=1);
        assert_eq!(reading.await.unwrap(), numbered(1));
    }

    #[test]
    fn who_falls_behind_is_told_what_is_lost_and_goes_on() {
        let publisher = Publisher::new(3);
        let mut events = publisher.journal().read();
        publish(&publisher, 1..=5);
        assert_eq!(events.ready(), Some(Err(Lag { missed: 2, last: 2 })));
        for number in 3..=5 {
            assert_eq!(events.ready(), numbered(number));
        }
        assert_eq!(events.ready(), None);
    }

    #[test]
    fn a_reader_goes_on_where_it_was_as_long_as_the_ring_has_it() {
        let publisher = Publisher::new(3);
        let journal = publisher.journal();
        assert!(journal.read_after(0).is_some());
        assert!(journal.read_after(1).is_none(), "not yet");
        publish(&publisher, 1..=5);
        assert!(journal.read_after(1).is_none(), "number 2 is lost");
        assert_eq!(journal.read_after(2).unwrap().ready(), numbered(3));
        assert_eq!(journal.read_after(5).unwrap().ready(), None);
        assert!(journal.read_after(6).is_none(), "of another daemon");
        assert!(journal.read_after(u64::MAX).is_none());
    }
}
