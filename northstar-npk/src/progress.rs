//! What long work tells while it runs.

use std::sync::{Mutex, PoisonError};

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// The tree is looked through.
    Scan,
    /// Files are read, compressed and written into the image.
    Image,
    /// The blocks of the image are hashed.
    HashTree,
    /// The image is copied into the package.
    Archive,
    /// The package is read back and checked.
    Check,
}

/// How far a stage is.
///
/// Stages come one after the other. Within one, `done` never shrinks, and it reaches `total` at the
/// end of a stage that succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The stage.
    pub stage: Stage,
    /// Bytes that are done; of [`Stage::Scan`], files that were found.
    pub done: u64,
    /// All bytes of the stage, or 0 where that is not known before.
    pub total: u64,
}

/// Whom to tell, a few times for each MiB. Calls come one at a time, but from any thread.
pub type Report<'a> = &'a (dyn Fn(Progress) + Sync);

/// How many bytes pass between two reports.
const STEP: u64 = 256 * 1024;

/// Counts one stage, on any number of threads.
pub(crate) struct Counter<'a> {
    report: Option<Report<'a>>,
    stage: Stage,
    total: u64,
    count: Mutex<Count>,
}

#[derive(Default)]
struct Count {
    done: u64,
    told: u64,
}

impl<'a> Counter<'a> {
    /// Begins a stage. `total` is 0 where it is not known.
    pub(crate) fn new(report: Option<Report<'a>>, stage: Stage, total: u64) -> Counter<'a> {
        let counter = Counter {
            report,
            stage,
            total,
            count: Mutex::default(),
        };
        counter.tell(0);
        counter
    }

    /// Counts `amount` more.
    pub(crate) fn add(&self, amount: u64) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        count.done = count.done.saturating_add(amount);
        if count.done - count.told >= STEP {
            count.told = count.done;
            self.tell(count.done);
        }
    }

    /// Tells that the stage is over.
    pub(crate) fn finish(self) {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        self.tell(count.done.max(self.total));
    }

    fn tell(&self, done: u64) {
        if let Some(report) = self.report {
            report(Progress {
                stage: self.stage,
                // A file may have grown since the total was summed up.
                done: if self.total > 0 {
                    done.min(self.total)
                } else {
                    done
                },
                total: self.total,
            });
        }
    }
}
