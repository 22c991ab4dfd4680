//! Two clocks: what passed, and what the processors worked.

use std::time::{Duration, Instant};

use anyhow::Result;
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeVal,
};

use crate::statistics::Measure;

/// Runs something, and returns how long that took and how much processor time this process and
/// its children spent on it.
///
/// # Errors
/// It fails.
pub fn spent<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Spent)> {
    let (begin, before) = (Instant::now(), processor()?);
    let result = work()?;
    let passed = begin.elapsed();
    let worked = processor()?.saturating_sub(before);
    Ok((result, Spent { passed, worked }))
}

/// What something cost.
#[derive(Debug, Clone, Copy)]
pub struct Spent {
    /// Time that passed.
    pub passed: Duration,
    /// Time that processors worked, all of them together.
    pub worked: Duration,
}

/// Both clocks of something that was done several times.
pub fn measures(name: &str, spent: &[Spent]) -> [Measure; 2] {
    let passed: Vec<_> = spent.iter().map(|spent| spent.passed).collect();
    let worked: Vec<_> = spent.iter().map(|spent| spent.worked).collect();
    [
        Measure::new(name, &passed),
        Measure::new("  processor time of all cores", &worked),
    ]
}

/// What this process and its children spent so far.
///
/// # Errors
/// The kernel does not say.
pub fn processor() -> Result<Duration> {
    let mut sum = Duration::ZERO;
    for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
        let usage = getrusage(who)?;
        sum += duration(usage.user_time()) + duration(usage.system_time());
    }
    Ok(sum)
}

fn duration(time: TimeVal) -> Duration {
    let seconds = u64::try_from(time.tv_sec()).unwrap_or_default();
    let micros = u64::try_from(time.tv_usec()).unwrap_or_default();
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}
