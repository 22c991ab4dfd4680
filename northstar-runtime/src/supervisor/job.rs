//! A request that takes time: whoever asked can see how far it has come, and can change its mind.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How far a job has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// How much is done.
    pub done: u64,
    /// How much there is to do.
    pub total: u64,
}

/// The job's side of the conversation. The default one tells nobody and is never cancelled.
#[derive(Clone, Debug, Default)]
pub struct Job {
    control: Option<Arc<Control>>,
}

#[derive(Debug)]
struct Control {
    cancel: CancellationToken,
    done: AtomicU64,
    total: AtomicU64,
    progress: watch::Sender<Progress>,
}

/// The side of whoever asked.
#[derive(Debug)]
pub struct Watcher {
    /// Cancels the job, as far as that is still possible.
    pub cancel: CancellationToken,
    /// Changes with each step.
    pub progress: watch::Receiver<Progress>,
}

impl Job {
    /// A job and who watches it.
    pub fn watched() -> (Job, Watcher) {
        let cancel = CancellationToken::new();
        let (sender, progress) = watch::channel(Progress::default());
        let control = Control {
            cancel: cancel.clone(),
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            progress: sender,
        };
        let job = Job {
            control: Some(Arc::new(control)),
        };
        (job, Watcher { cancel, progress })
    }

    /// Begins with `total` steps to do.
    pub fn begin(&self, total: u64) {
        if let Some(control) = &self.control {
            control.total.store(total, Ordering::Relaxed);
            control.tell(0);
        }
    }

    /// Some more steps are done.
    pub fn advance(&self, steps: u64) {
        if let Some(control) = &self.control {
            control.tell(steps);
        }
    }

    /// Whether it is still wanted.
    pub fn is_cancelled(&self) -> bool {
        self.control
            .as_ref()
            .is_some_and(|control| control.cancel.is_cancelled())
    }

    /// Resolves when the job is not wanted any more.
    pub async fn cancelled(&self) {
        match &self.control {
            Some(control) => control.cancel.cancelled().await,
            None => std::future::pending().await,
        }
    }
}

impl Control {
    fn tell(&self, steps: u64) {
        let done = self
            .done
            .fetch_add(steps, Ordering::Relaxed)
            .saturating_add(steps);
        let total = self.total.load(Ordering::Relaxed);
        // Two steps may get here in the other order: the larger number stands.
        self.progress.send_modify(|progress| {
            progress.done = progress.done.max(done);
            progress.total = total;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_tells_its_steps_and_hears_of_its_end() {
        let (job, mut watcher) = Job::watched();
        job.begin(3);
        job.advance(1);
        job.clone().advance(1);
        let progress = *watcher.progress.borrow_and_update();
        assert_eq!(progress, Progress { done: 2, total: 3 });
        assert!(!job.is_cancelled());
        watcher.cancel.cancel();
        assert!(job.is_cancelled());
    }

    #[test]
    fn a_job_that_nobody_watches_goes_on() {
        let job = Job::default();
        job.begin(1);
        job.advance(1);
        assert!(!job.is_cancelled());
    }
}
