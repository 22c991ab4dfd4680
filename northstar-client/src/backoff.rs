//! Pauses between tries.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// How long to wait between tries: twice as long after each, up to a limit, and never exactly so, in order that clients that
/// lost the same server do not come back all at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// At most.
    pub longest: Duration,
}

impl Default for Backoff {
    /// 100 ms to 30 s.
    fn default() -> Backoff {
        Backoff {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(30),
        }
    }
}

impl Backoff {
    /// The pause after `failures` failures in a row, of which the first is 0: between half of the nominal pause and all of
    /// it.
    #[must_use]
    pub fn pause(&self, failures: u32) -> Duration {
        let nominal = 2_u32
            .checked_pow(failures)
            .and_then(|factor| self.first.checked_mul(factor))
            .map_or(self.longest, |pause| pause.min(self.longest));
        let half = nominal / 2;
        // Keyed at random: a source of randomness without a further dependency.
        let random = RandomState::new().hash_one(failures);
        let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
        half.saturating_add(Duration::from_nanos(random % nanos.saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_stay_within_their_bounds() {
        let backoff = Backoff {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(1),
        };
        for (failures, nominal) in [
            (0, 100),
            (1, 200),
            (2, 400),
            (3, 800),
            (4, 1000),
            (99, 1000),
        ] {
            let nominal = Duration::from_millis(nominal);
            for _ in 0..100 {
                let pause = backoff.pause(failures);
                assert!(
                    pause >= nominal / 2 && pause <= nominal,
                    "{failures}: {pause:?}"
                );
            }
        }
    }

    #[test]
    fn extreme_values_do_not_overflow() {
        let backoff = Backoff {
            first: Duration::MAX,
            longest: Duration::MAX,
        };
        assert!(backoff.pause(u32::MAX) >= Duration::MAX / 2);
        let none = Backoff {
            first: Duration::ZERO,
            longest: Duration::ZERO,
        };
        assert_eq!(none.pause(7), Duration::ZERO);
    }
}
