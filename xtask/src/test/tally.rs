//! Counting what test runners report.

use std::{
    fmt,
    io::{self, Write},
    ops::AddAssign,
};

/// Numbers of tests.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Tests that passed.
    pub passed: u64,
    /// Tests that failed, and runners that failed without naming a test.
    pub failed: u64,
    /// Tests that are marked `#[ignore]`.
    pub ignored: u64,
}

impl Tally {
    /// One failure.
    pub fn failure() -> Self {
        Self {
            failed: 1,
            ..Self::default()
        }
    }

    /// One success.
    pub fn success() -> Self {
        Self {
            passed: 1,
            ..Self::default()
        }
    }

    /// Whether nothing failed and something ran.
    pub fn is_success(self) -> bool {
        self.failed == 0 && self.passed > 0
    }

    /// What a runner reported, corrected by how it ended: a runner may die before it reports.
    pub fn with_status(mut self, success: bool) -> Self {
        if !success && self.failed == 0 {
            self.failed = 1;
        }
        self
    }

    /// Reads the line with which libtest ends, such as
    /// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s`.
    fn parse(line: &str) -> Option<Self> {
        let (_verdict, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let mut tally = Self::default();
        for count in counts.split("; ") {
            match count.split_once(' ') {
                Some((number, "passed")) => tally.passed = number.parse().ok()?,
                Some((number, "failed")) => tally.failed = number.parse().ok()?,
                Some((number, "ignored")) => tally.ignored = number.parse().ok()?,
                _ => {}
            }
        }
        Some(tally)
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed = self.passed.saturating_add(other.passed);
        self.failed = self.failed.saturating_add(other.failed);
        self.ignored = self.ignored.saturating_add(other.ignored);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.ignored > 0 {
            write!(f, ", {} ignored", self.ignored)?;
        }
        Ok(())
    }
}

/// Passes output on and counts the results in it.
#[derive(Debug)]
pub struct Counter<W> {
    sink: W,
    line: Vec<u8>,
    tally: Tally,
}

impl<W: Write> Counter<W> {
    /// Passes output on to `sink`.
    pub fn new(sink: W) -> Self {
        Self {
            sink,
            line: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// What was counted so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }
}

impl<W: Write> Write for Counter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
                continue;
            }
            if let Some(tally) = std::str::from_utf8(&self.line).ok().and_then(Tally::parse) {
                self.tally += tally;
            }
            self.line.clear();
        }
        self.sink.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_summed_over_pieces_of_output() {
        let mut output = Vec::new();
        let mut counter = Counter::new(&mut output);
        let text = "test a ... ok\ntest result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; \
                    2 filtered out; finished in 0.00s\n\ntest result: FAILED. 1 passed; 2 failed; \
                    0 ignored; 0 measured; 0 filtered out; finished in 1.00s\n";
        for piece in text.as_bytes().chunks(7) {
            counter.write_all(piece).unwrap();
        }
        assert_eq!(
            counter.tally(),
            Tally {
                passed: 4,
                failed: 2,
                ignored: 1
            }
        );
        assert_eq!(output, text.as_bytes());
    }

    #[test]
    fn a_runner_that_dies_is_a_failure() {
        assert_eq!(Tally::default().with_status(false), Tally::failure());
        assert_eq!(Tally::success().with_status(true), Tally::success());
        let reported = Tally {
            passed: 1,
            failed: 2,
            ignored: 0,
        };
        assert_eq!(reported.with_status(false), reported);
    }

    #[test]
    fn nothing_run_is_no_success() {
        assert!(!Tally::default().is_success());
        assert!(Tally::success().is_success());
        assert!(!Tally::failure().is_success());
    }
}
