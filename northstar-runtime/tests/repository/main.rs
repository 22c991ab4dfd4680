//! Repositories on real file systems: loading, installs, removals, and what they leave behind. As root, because some of
//! it needs file systems of its own.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test code"
)]

mod altered;
mod fixture;
mod install;
mod load;
mod memory;
mod removal;
mod room;
#[path = "../support/mod.rs"]
mod support;
