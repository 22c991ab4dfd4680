//! A forker, a root directory with busybox and the probe, and containers made from them.

mod lives;
mod plans;
mod root;
mod wait;
mod world;

pub use lives::{Armed, Finished, Running};
pub use plans::{CLOSED, GID, READ_ONLY, UID, capabilities, clone, planned, program, shell, tmpfs};
pub use wait::{event, eventually, wait_readable};
pub use world::World;

/// The value of a line `key:\tvalue` of /proc/PID/status.
pub fn status_value<'a>(status: &'a str, key: &str) -> &'a str {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {key} in {status}"))
        .trim()
}
