//! How much of a container's output reaches the log: a bucket of lines and one of bytes, refilled with time.

use std::time::{Duration, Instant};

/// Lines that pass at once after a quiet time.
const LINE_BURST: u64 = 2000;
/// Lines per second in the long run.
const LINE_RATE: u64 = 1000;
/// Bytes that pass at once: the promised 1000 lines may each be as long as a line can be, and then twice that.
const BYTE_BURST: u64 = 8 * 1024 * 1024;
/// Bytes per second in the long run.
const BYTE_RATE: u64 = 1024 * 1024;
/// While lines are dropped the loss is told this often.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// The limit of one stream of one container.
#[derive(Debug)]
pub(crate) struct Limit {
    lines: Bucket,
    bytes: Bucket,
    dropped: Dropped,
    last_report: Option<Instant>,
}

/// What did not reach the log since the last report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// Lines.
    pub(crate) lines: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
}

impl Limit {
    pub(crate) fn new(now: Instant) -> Limit {
        Limit {
            lines: Bucket::new(LINE_BURST, LINE_RATE, now),
            bytes: Bucket::new(BYTE_BURST, BYTE_RATE, now),
            dropped: Dropped::default(),
            last_report: None,
        }
    }

    /// Whether a line of this length may pass now. If not, it is counted as dropped.
    pub(crate) fn admit(&mut self, length: usize, now: Instant) -> bool {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        self.lines.refill(now);
        self.bytes.refill(now);
        if self.lines.level >= 1 && self.bytes.level >= length {
            self.lines.level -= 1;
            self.bytes.level -= length;
            return true;
        }
        self.dropped.lines += 1;
        self.dropped.bytes = self.dropped.bytes.saturating_add(length);
        false
    }

    /// The loss to be told now, if there is one and the last telling is long enough ago.
    pub(crate) fn report(&mut self, now: Instant) -> Option<Dropped> {
        let due = self
            .last_report
            .is_none_or(|last| now.duration_since(last) >= REPORT_INTERVAL);
        if due { self.take(now) } else { None }
    }

    /// The loss not told yet, at the end of the stream.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Dropped> {
        let dropped = std::mem::take(&mut self.dropped);
        if dropped == Dropped::default() {
            return None;
        }
        self.last_report = Some(now);
        Some(dropped)
    }
}

/// A token bucket that never holds fractions: time that is not yet worth a token is kept for later.
#[derive(Debug)]
struct Bucket {
    level: u64,
    burst: u64,
    rate: u64,
    refilled: Instant,
}

impl Bucket {
    fn new(burst: u64, rate: u64, now: Instant) -> Bucket {
        Bucket {
            level: burst,
            burst,
            rate,
            refilled: now,
        }
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.refilled);
        let tokens = elapsed.as_nanos().saturating_mul(u128::from(self.rate)) / 1_000_000_000;
        let tokens = u64::try_from(tokens).unwrap_or(u64::MAX);
        if tokens > 0 {
            self.level = self.level.saturating_add(tokens).min(self.burst);
            self.refilled = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::split::LINE_LIMIT;

    #[test]
    fn thousand_lines_of_any_length_pass_at_once() {
        let now = Instant::now();
        let mut limit = Limit::new(now);
        assert!((0..1000).all(|_| limit.admit(LINE_LIMIT, now)));
        assert_eq!(limit.take(now), None);
    }

    #[test]
    fn flood_is_dropped_and_counted() {
        let now = Instant::now();
        let mut limit = Limit::new(now);
        let passed = (0..10_000).filter(|_| limit.admit(10, now)).count();
        assert_eq!(passed, 2000);
        assert_eq!(
            limit.report(now),
            Some(Dropped {
                lines: 8000,
                bytes: 80_000
            })
        );
        assert_eq!(limit.report(now), None);
    }

    #[test]
    fn loss_is_told_once_per_interval() {
        let start = Instant::now();
        let mut limit = Limit::new(start);
        let mut reports = 0;
        for millisecond in 0..3000 {
            let now = start + Duration::from_millis(millisecond);
            for _ in 0..100 {
                limit.admit(1, now);
            }
            reports += u32::from(limit.report(now).is_some());
        }
        assert_eq!(reports, 3);
    }

    #[test]
    fn level_comes_back_with_time() {
        let start = Instant::now();
        let mut limit = Limit::new(start);
        while limit.admit(1, start) {}
        let later = start + Duration::from_secs(1);
        let passed = (0..5000).filter(|_| limit.admit(1, later)).count();
        assert_eq!(passed as u64, LINE_RATE);
    }

    #[test]
    fn bytes_are_limited_too() {
        let start = Instant::now();
        let mut limit = Limit::new(start);
        let mut bytes = 0;
        for second in 0..100 {
            while limit.admit(LINE_LIMIT, start + Duration::from_secs(second)) {
                bytes += LINE_LIMIT as u64;
            }
        }
        assert!(bytes <= BYTE_BURST + 100 * BYTE_RATE, "{bytes}");
    }
}
