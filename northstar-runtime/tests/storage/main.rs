//! Images are really mounted here: as root, with loop devices, and in the tests named `vm_*` with dm-verity.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test code"
)]

mod mount;
mod nodes;
mod parallel;
mod reap;
mod refusal;
#[path = "../support/mod.rs"]
mod support;
mod verity;
