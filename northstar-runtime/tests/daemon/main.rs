//! The real daemon, through its console: life cycle, output, and how it ends. Needs root and loop devices.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod binary;
mod cgroups;
mod console;
mod containers;
mod end;
mod harness;
mod network;
mod output;
mod passed;
mod scheduling;
mod sockets;
mod user;
