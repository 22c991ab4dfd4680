//! Doing the same with many things on all cores.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Runs `work` for each item, on as many threads as there are cores. Each thread has one state, which
/// `begin` makes there.
///
/// After a failure nothing new is begun; of several failures the one of the earliest item is returned.
pub(super) fn on_all_cores<T: Sync, S, E: Send>(
    items: &[T],
    begin: impl Fn() -> Result<S, E> + Sync,
    work: impl Fn(&mut S, &T) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let next = AtomicUsize::new(0);
    let first_failure = Mutex::new(None);
    let run = || {
        let fail = |index, error| {
            // Whoever looks for more finds the end.
            next.fetch_max(items.len(), Ordering::Relaxed);
            let mut first = first_failure.lock().unwrap_or_else(PoisonError::into_inner);
            if first.as_ref().is_none_or(|&(earlier, _)| index < earlier) {
                *first = Some((index, error));
            }
        };
        let mut state = match begin() {
            Ok(state) => state,
            Err(error) => return fail(0, error),
        };
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return };
            if let Err(error) = work(&mut state, item) {
                return fail(index, error);
            }
        }
    };
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        for _ in 1..cores.min(items.len()) {
            // A thread the system does not give is not needed: this one does all that is left.
            if thread::Builder::new().spawn_scoped(scope, run).is_err() {
                break;
            }
        }
        run();
    });
    let first = first_failure
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    first.map_or(Ok(()), |(_, error)| Err(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_done_once() {
        let items: Vec<_> = (0..1000).map(|_| AtomicUsize::new(0)).collect();
        let work = |_: &mut (), item: &AtomicUsize| {
            item.fetch_add(1, Ordering::Relaxed);
            Ok::<_, ()>(())
        };
        assert_eq!(on_all_cores(&items, || Ok(()), work), Ok(()));
        assert!(items.iter().all(|item| item.load(Ordering::Relaxed) == 1));
    }

    #[test]
    fn the_first_failure_is_reported() {
        let items: Vec<usize> = (0..1000).collect();
        let work = |_: &mut (), &item: &usize| if item >= 500 { Err(item) } else { Ok(()) };
        assert_eq!(on_all_cores(&items, || Ok(()), work), Err(500));
        assert_eq!(on_all_cores(&items, || Err(7), work), Err(7));
    }
}
