//! A limit on the requests per second. What comes too fast is delayed, never refused.

use std::{num::NonZeroU32, time::Duration};
use tokio::time::{Instant, sleep_until};

/// Spaces requests so that on average at most `rate` pass per second.
///
/// The generic cell rate algorithm: `due` is the time at which somebody who kept exactly to the rate would send the
/// next request. Who is early by no more than `burst` passes.
#[derive(Debug)]
pub(super) struct Throttle {
    interval: Duration,
    burst: Duration,
    due: Instant,
}

impl Throttle {
    /// After a pause, the requests of `burst` may come at once.
    pub(super) fn new(rate: NonZeroU32, burst: Duration) -> Throttle {
        Throttle {
            interval: Duration::from_secs(1) / rate.get(),
            burst,
            due: Instant::now(),
        }
    }

    /// Waits until one more request may pass.
    pub(super) async fn pass(&mut self) {
        if let Some(time) = self.reserve() {
            sleep_until(time).await;
        }
    }

    /// Whether it is as a new one.
    pub(super) fn is_rested(&self) -> bool {
        self.due <= Instant::now()
    }

    /// Takes the next place in the order. Returns when it is due, unless it is now.
    pub(super) fn reserve(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let due = self.due.max(now);
        self.due = due + self.interval;
        (due > now + self.burst).then(|| due - self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttle(rate: u32) -> Throttle {
        Throttle::new(NonZeroU32::new(rate).unwrap(), Duration::from_secs(1))
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_of_one_second_passes_at_once_and_the_rest_at_the_rate() {
        let started = Instant::now();
        let mut throttle = throttle(100);
        for _ in 0..=100 {
            throttle.pass().await;
        }
        assert_eq!(started.elapsed(), Duration::ZERO);
        for _ in 0..200 {
            throttle.pass().await;
        }
        assert_eq!(started.elapsed().as_secs_f64().round(), 2.0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_worth_one_second_and_not_more() {
        let mut throttle = throttle(10);
        tokio::time::advance(Duration::from_secs(3600)).await;
        let started = Instant::now();
        for _ in 0..=10 {
            throttle.pass().await;
        }
        assert_eq!(started.elapsed(), Duration::ZERO);
        throttle.pass().await;
        assert!(started.elapsed() >= Duration::from_millis(99));
    }

    #[tokio::test(start_paused = true)]
    async fn who_keeps_to_the_rate_never_waits() {
        let mut throttle = throttle(10);
        for _ in 0..100 {
            let asked = Instant::now();
            throttle.pass().await;
            assert_eq!(asked.elapsed(), Duration::ZERO);
            tokio::time::advance(Duration::from_millis(100)).await;
        }
    }
}
