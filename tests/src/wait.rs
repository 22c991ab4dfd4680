//! Waiting for a condition, with a deadline.

use std::time::{Duration, Instant};

/// How long a test waits for something that must happen. Generous, because the VM tier may run under emulation;
/// nothing waits this long unless it fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks `probe` again and again until it answers.
///
/// # Panics
/// If there is no answer within [`PATIENCE`]; `what` says what was waited for.
pub fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
