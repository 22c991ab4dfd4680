//! The real daemon behind its console: events, jobs, statistics, and clients that mean harm. Needs root and loop devices.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod client;
mod events;
#[path = "../daemon/harness/mod.rs"]
#[allow(dead_code, reason = "shared with the other tests of the daemon")]
mod harness;
mod hostile;
mod jobs;
mod served;
