//! Reading the kernel's numbers about containers. It blocks, so it needs threads, and clients decide how often it is asked
//! for: it gets a few threads at a time, for which those who ask take [turns](super::turns), and all others stay with
//! whoever mounts, installs and starts.

use super::{command::Reply, machine::answer, turns::Turns};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::task::spawn_blocking;

/// Readings that are under way at a time.
const PLACES: usize = 4;

/// As many may wait before those that nobody waits for any more are looked for.
const TIDY: usize = 1024;

/// The threads for readings. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Measuring {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// Threads at work.
    busy: usize,
    waiting: Turns<Box<dyn Reading>>,
    /// When so many wait, the abandoned ones go.
    tidy_at: usize,
}

/// One reading, and where its result goes.
trait Reading: std::fmt::Debug + Send {
    /// Nobody waits for it any more.
    fn is_abandoned(&self) -> bool;
    fn read(self: Box<Self>);
}

struct Read<T, R> {
    reply: Reply<T>,
    read: R,
}

impl Measuring {
    pub(super) fn new() -> Measuring {
        let state = State {
            busy: 0,
            waiting: Turns::new(),
            tidy_at: TIDY,
        };
        Measuring {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Answers with what `read` finds, when it is the turn of who asked. Whoever does not wait any more costs nothing.
    pub(super) fn answer<T, R>(&self, reply: Reply<T>, read: R)
    where
        T: Send + 'static,
        R: FnOnce() -> T + Send + 'static,
    {
        let asker = reply.asker();
        let mut state = self.state();
        state.waiting.push(&asker, Box::new(Read { reply, read }));
        state.tidy();
        if state.busy < PLACES {
            state.busy += 1;
            drop(state);
            let measuring = self.clone();
            spawn_blocking(move || {
                while let Some(reading) = measuring.next() {
                    reading.read();
                }
            });
        }
    }

    /// What a thread does next. If there is nothing it is at work no more.
    fn next(&self) -> Option<Box<dyn Reading>> {
        let mut state = self.state();
        while let Some(reading) = state.waiting.pop() {
            if !reading.is_abandoned() {
                return Some(reading);
            }
        }
        state.busy = state.busy.saturating_sub(1);
        None
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here runs foreign code: a panic elsewhere leaves it right.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// At most twice as many wait as somebody waits for: connections may come and go faster than is read.
    fn tidy(&mut self) {
        if self.waiting.len() >= self.tidy_at {
            self.waiting.retain(|reading| !reading.is_abandoned());
            self.tidy_at = self.waiting.len().saturating_mul(2).max(TIDY);
        }
    }
}

impl<T: Send, R: FnOnce() -> T + Send> Reading for Read<T, R> {
    fn is_abandoned(&self) -> bool {
        self.reply.is_abandoned()
    }

    fn read(self: Box<Self>) {
        answer(self.reply, (self.read)());
    }
}

impl<T, R> std::fmt::Debug for Read<T, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Read").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
