//! The environment of the end-to-end tests: a [`Site`] is a temporary directory with keys, repositories and a
//! configuration; [`Site::start`] runs the real daemon on it; a [`Console`] speaks the protocol line by line, so that
//! the tests see exactly what a client of 0.9.2 would see.
//!
//! Tests whose names start with `vm_` need dm-verity or cgroup v2 and fail elsewhere. All others run with whatever
//! integrity the kernel offers.

mod console;
mod daemon;
mod package;
pub mod programs;
pub mod residue;
mod site;
mod wait;

pub use console::Console;
pub use daemon::{Daemon, Stream};
pub use package::{Package, flip_bit};
pub use programs::programs;
pub use residue::Residue;
pub use site::{Integrity, Site};
pub use wait::{PATIENCE, eventually};
