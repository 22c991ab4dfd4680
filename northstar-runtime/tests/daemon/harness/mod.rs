//! A real daemon on a temporary directory, spoken to line by line.

mod console;
pub mod daemon;
mod site;

pub use console::Console;
pub use daemon::Daemon;
pub use site::Site;

use std::{
    fs,
    time::{Duration, Instant},
};

/// How long a test waits for what has to come.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `probe` finds something.
#[track_caller]
pub fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A script that does nothing for ever.
pub const SLEEP: &str = "while :; do sleep 1; done";

/// The first child of a process.
pub fn child(pid: i32) -> i32 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.split_whitespace().next().unwrap().parse().unwrap()
}
