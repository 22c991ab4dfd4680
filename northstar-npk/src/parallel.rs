//! Doing the same many times on all cores.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// How many threads run at once.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Runs `work` for each index below `count` on all cores and returns the results in order.
///
/// Each thread has one state, which `begin` makes there and which it hands to all its calls. After
/// a failure no new index is begun, and of several failures the one with the lowest index is
/// returned.
pub(crate) fn on_all_cores<S, T: Send, E: Send>(
    count: u64,
    begin: impl Fn() -> Result<S, E> + Sync,
    work: impl Fn(&mut S, u64) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let next = AtomicU64::new(0);
    let failed = AtomicBool::new(false);
    let results = Mutex::new(Vec::new());
    let run = || {
        let mut own = Vec::new();
        match begin() {
            Ok(mut state) => {
                while !failed.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        break;
                    }
                    let result = work(&mut state, index);
                    if result.is_err() {
                        failed.store(true, Ordering::Relaxed);
                    }
                    own.push((index, result));
                }
            }
            Err(error) => {
                failed.store(true, Ordering::Relaxed);
                own.push((0, Err(error)));
            }
        }
        results
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .append(&mut own);
    };
    // To count the cores takes longer than to hash a block: the system's files are read for it.
    let threads = if count > 1 { cores() as u64 } else { 1 };
    thread::scope(|scope| {
        for _ in 1..threads.min(count) {
            // A thread the system does not give is not needed: this one does all that is left.
            if thread::Builder::new().spawn_scoped(scope, run).is_err() {
                break;
            }
        }
        run();
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_unstable_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order() {
        let results: Result<Vec<u64>, ()> = on_all_cores(1000, || Ok(()), |_, index| Ok(index * 2));
        assert_eq!(results, Ok((0..1000).map(|index| index * 2).collect()));
    }

    #[test]
    fn the_first_failure_is_reported() {
        let fail_late = |_: &mut (), index| if index >= 500 { Err(index) } else { Ok(()) };
        assert_eq!(on_all_cores(1000, || Ok(()), fail_late), Err(500));
        assert_eq!(on_all_cores(1000, || Err(7), fail_late), Err(7));
    }
}
