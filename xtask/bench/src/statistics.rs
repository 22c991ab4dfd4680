//! Values of one measurement, and what they amount to.

use std::time::Duration;

use serde::Serialize;

/// All values of one thing that was measured, in milliseconds.
#[derive(Debug, Serialize)]
pub struct Measure {
    /// What was measured.
    pub name: String,
    /// The spread.
    pub summary: Summary,
    /// In the order in which they were taken.
    pub values: Vec<f64>,
}

/// The spread of the values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// How many.
    pub runs: usize,
    /// Least.
    pub min: f64,
    /// A tenth is not above.
    pub p10: f64,
    /// Half is not above.
    pub median: f64,
    /// Nine tenths are not above.
    pub p90: f64,
    /// Ninety-nine hundredths are not above.
    pub p99: f64,
    /// Greatest.
    pub max: f64,
}

impl Measure {
    /// Sums values up.
    pub fn new(name: impl Into<String>, values: &[Duration]) -> Self {
        let values: Vec<f64> = values
            .iter()
            .map(|value| value.as_secs_f64() * 1000.0)
            .collect();
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let summary = Summary {
            runs: sorted.len(),
            min: percentile(&sorted, 0),
            p10: percentile(&sorted, 10),
            median: percentile(&sorted, 50),
            p90: percentile(&sorted, 90),
            p99: percentile(&sorted, 99),
            max: percentile(&sorted, 100),
        };
        Self {
            name: name.into(),
            summary,
            values,
        }
    }
}

/// The nearest rank: the least value that `percent` of all values are not above. NaN if there is none.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = sorted.len().saturating_mul(percent).div_ceil(100);
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_taken_from_the_sorted_values() {
        let values: Vec<Duration> = (1..=10).rev().map(Duration::from_millis).collect();
        let Summary {
            runs,
            min,
            p10,
            median,
            p90,
            p99,
            max,
        } = Measure::new("x", &values).summary;
        assert_eq!(
            (runs, min, p10, median, p90, p99, max),
            (10, 1.0, 1.0, 5.0, 9.0, 10.0, 10.0)
        );
    }

    #[test]
    fn one_value_is_everything() {
        let summary = Measure::new("x", &[Duration::from_millis(3)]).summary;
        assert_eq!((summary.min, summary.median, summary.max), (3.0, 3.0, 3.0));
    }
}
