//! What has failed, and when to try it again.

use std::{collections::HashMap, time::Duration};

use northstar_client::{Backoff, api::Container};
use tokio::time::Instant;

/// Failures by container.
#[derive(Debug)]
pub struct Retries {
    backoff: Backoff,
    by_container: HashMap<Container, Failed>,
}

#[derive(Debug)]
struct Failed {
    times: u32,
    /// `None`: not before something else is asked for.
    again: Option<Instant>,
    last: Instant,
}

impl Retries {
    pub fn new(backoff: Backoff) -> Retries {
        Retries {
            backoff,
            by_container: HashMap::new(),
        }
    }

    /// Whether it is time for this container.
    pub fn is_due(&self, container: &Container, now: Instant) -> bool {
        let failed = self.by_container.get(container);
        failed.is_none_or(|failed| failed.again.is_some_and(|again| again <= now))
    }

    /// When the next container is due that is not yet.
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        let due = self.by_container.values().filter_map(|failed| failed.again);
        due.filter(|again| *again > now).min()
    }

    /// It has failed, or ended: the pause until the next try grows with each time, unless it went well for long enough.
    pub fn failed(&mut self, container: &Container, now: Instant) -> Duration {
        let failed = self
            .by_container
            .entry(container.clone())
            .or_insert_with(|| Failed {
                times: 0,
                again: None,
                last: now,
            });
        if now.saturating_duration_since(failed.last) > self.backoff.longest.saturating_mul(2) {
            failed.times = 0;
        }
        let pause = self.backoff.pause(failed.times);
        failed.times = failed.times.saturating_add(1);
        failed.last = now;
        failed.again = now.checked_add(pause);
        pause
    }

    /// Trying again would change nothing.
    pub fn refused(&mut self, container: &Container, now: Instant) {
        let failed = Failed {
            times: 0,
            again: None,
            last: now,
        };
        self.by_container.insert(container.clone(), failed);
    }

    /// Something else is asked for.
    pub fn forget(&mut self) {
        self.by_container.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_waits_and_a_refusal_waits_for_ever() {
        let backoff = Backoff {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(4),
        };
        let mut retries = Retries::new(backoff);
        let (a, b): (Container, Container) =
            ("a:1.0.0".parse().unwrap(), "b:1.0.0".parse().unwrap());
        let now = Instant::now();
        assert!(retries.is_due(&a, now));
        let pause = retries.failed(&a, now);
        assert!(!retries.is_due(&a, now) && retries.is_due(&a, now + pause));
        assert_eq!(retries.next_due(now), Some(now + pause));
        assert!(retries.failed(&a, now + pause) >= pause / 2);
        retries.refused(&b, now);
        assert!(!retries.is_due(&b, now + Duration::from_secs(1_000_000)));
        retries.forget();
        assert!(retries.is_due(&a, now) && retries.is_due(&b, now));
        assert_eq!(retries.next_due(now), None);
    }
}
