//! Waiting for a condition, with a deadline.

use std::time::{Duration, Instant};

/// How long a test waits for something that must happen. Generous, because the VM tier may run under emulation;
/// nothing waits this long unless it fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks `probe` again and again until it answers.
///
/// # Panics
/// If there is no answer within [`PATIENCE`]; `what` says what was waited for.
pub fn eventually<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    eventually_or(probe, || format!("waited in vain for {what}"))
}

/// As [`eventually`], with a message that is made when it is too late.
///
/// # Panics
/// With `message` if there is no answer within [`PATIENCE`].
pub(crate) fn eventually_or<T>(
    mut probe: impl FnMut() -> Option<T>,
    message: impl FnOnce() -> String,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        if Instant::now() >= deadline {
            panic!("{}", message());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
