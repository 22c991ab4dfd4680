//! Interrupts from the terminal: Ctrl-C.
//!
//! What the daemon has under way for nstar can be taken back. The first interrupt asks for that, and nstar waits for what has
//! become of it; the next one, or one while there is nothing to take back, ends nstar.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
};

use crate::{failure::Failure, output};

/// Interrupts, and what becomes of them. Clones are the same.
#[derive(Clone, Default)]
pub struct Interrupts(Arc<State>);

#[derive(Default)]
struct State {
    /// The next interrupt takes something back.
    revocable: AtomicBool,
    /// One has.
    revoked: AtomicBool,
    revoke: Notify,
}

impl Interrupts {
    /// Does `work`, unless an interrupt ends nstar before.
    pub async fn around<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let mut signals =
            signal(SignalKind::interrupt()).map_err(|source| Failure::Runtime { source })?;
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                _ = signals.recv() => self.interrupt()?,
            }
        }
    }

    fn interrupt(&self) -> Result<(), Failure> {
        let State {
            revocable,
            revoked,
            revoke,
        } = &*self.0;
        if !revocable.swap(false, Ordering::Relaxed) {
            return Err(Failure::Interrupted);
        }
        output::remark("the daemon is asked to stop; interrupt again not to wait for it");
        revoked.store(true, Ordering::Relaxed);
        revoke.notify_one();
        Ok(())
    }

    /// From now on an interrupt takes back what is done next, or what is done now.
    pub fn allow(&self) {
        self.0.revocable.store(true, Ordering::Relaxed);
    }

    /// There is nothing to take back any more.
    pub fn forbid(&self) {
        self.0.revocable.store(false, Ordering::Relaxed);
    }

    /// Resolves when something is to be taken back.
    pub async fn revoked(&self) {
        self.0.revoke.notified().await;
    }

    /// Nothing more is begun after an interrupt, also if it came too late for what was under way.
    pub fn check(&self) -> Result<(), Failure> {
        match self.0.revoked.load(Ordering::Relaxed) {
            true => Err(Failure::Interrupted),
            false => Ok(()),
        }
    }
}
