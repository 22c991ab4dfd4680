//! A queue between two threads that holds a bounded number of bytes.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The other end is gone.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Closed;

/// What one thread gives and another one takes, in order.
///
/// It is bounded by bytes and not by items, because one item may be a byte or a MiB.
#[derive(Debug)]
pub(super) struct Queue<T> {
    limit: usize,
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
    closed: bool,
}

impl<T> Queue<T> {
    /// A queue for `limit` bytes, and for one item in any case.
    pub(super) fn new(limit: usize) -> Queue<T> {
        Queue {
            limit,
            state: Mutex::new(State {
                items: VecDeque::new(),
                bytes: 0,
                closed: false,
            }),
            changed: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an item that counts as `bytes`, as soon as there is room.
    pub(super) fn give(&self, item: T, bytes: usize) -> Result<(), Closed> {
        let mut state = self.state();
        while !state.closed
            && !state.items.is_empty()
            && state.bytes.saturating_add(bytes) > self.limit
        {
            state = self.wait(state);
        }
        if state.closed {
            return Err(Closed);
        }
        state.items.push_back((item, bytes));
        state.bytes += bytes;
        self.changed.notify_one();
        Ok(())
    }

    /// Takes the oldest item, as soon as there is one; `None` at the end of a closed queue.
    pub(super) fn take(&self) -> Option<T> {
        let mut state = self.state();
        loop {
            if let Some((item, bytes)) = state.items.pop_front() {
                state.bytes -= bytes;
                self.changed.notify_one();
                return Some(item);
            }
            if state.closed {
                return None;
            }
            state = self.wait(state);
        }
    }

    /// Takes the oldest item, if there is one now.
    pub(super) fn try_take(&self) -> Option<T> {
        let mut state = self.state();
        let (item, bytes) = state.items.pop_front()?;
        state.bytes -= bytes;
        self.changed.notify_one();
        Some(item)
    }

    /// Ends the queue, from either side. What is in it can still be taken.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn items_come_in_order_and_end() {
        let queue = Queue::new(10);
        thread::scope(|scope| {
            scope.spawn(|| {
                for item in 0..1000 {
                    queue.give(item, item % 13).unwrap();
                }
                queue.close();
            });
            for item in 0..1000 {
                assert_eq!(queue.take(), Some(item));
            }
            assert_eq!(queue.take(), None);
        });
    }

    #[test]
    fn whoever_waits_for_room_learns_that_nobody_takes_any_more() {
        let queue = Queue::new(10);
        queue.give((), 10).unwrap();
        assert_eq!(queue.try_take(), Some(()));
        assert_eq!(queue.try_take(), None);
        queue.give((), 10).unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.give((), 1));
            queue.close();
            assert_eq!(waiting.join().unwrap(), Err(Closed));
        });
    }
}
