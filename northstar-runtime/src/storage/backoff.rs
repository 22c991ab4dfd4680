//! Waiting for the kernel to finish what it does on its own.

use std::{
    thread,
    time::{Duration, Instant},
};

/// The first pause.
const FIRST: Duration = Duration::from_micros(200);
/// The longest pause.
const LONGEST: Duration = Duration::from_millis(20);

/// Pauses that grow up to a limit, with jitter, until a deadline.
///
/// The jitter keeps parallel attempts that failed together from failing together again.
#[derive(Debug)]
pub(super) struct Backoff {
    deadline: Instant,
    pause: Duration,
}

impl Backoff {
    pub(super) fn until(deadline: Instant) -> Self {
        Self {
            deadline,
            pause: FIRST,
        }
    }

    /// Pauses. `false`: the deadline has passed, there is nothing to wait for any more.
    pub(super) fn wait(&mut self) -> bool {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        // Without random bytes the pause is just its longest.
        let random = getrandom::u32().unwrap_or(u32::MAX);
        let share = f64::from(random) / f64::from(u32::MAX);
        thread::sleep(self.pause.mul_f64(0.5 + share / 2.0).min(left));
        self.pause = (self.pause * 2).min(LONGEST);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_end_at_the_deadline() {
        let start = Instant::now();
        let deadline = start + Duration::from_millis(30);
        let mut backoff = Backoff::until(deadline);
        let mut pauses = 0;
        while backoff.wait() {
            pauses += 1;
        }
        assert!(Instant::now() >= deadline);
        // 0.1 ms at first and doubled: far fewer than a loop without pauses makes.
        assert!((3..300).contains(&pauses), "{pauses}");
    }
}
