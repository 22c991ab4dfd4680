//! The environment of the end-to-end tests: a [`Site`] is a temporary directory with keys, repositories and a
//! configuration; [`Site::start`] runs the real daemon on it; a [`Console`] speaks the protocol line by line, so that
//! the tests see exactly what a client of 0.9.2 would see.
//!
//! Tests whose names start with `vm_` need dm-verity or cgroup v2 and fail elsewhere. All others run with whatever
//! integrity the kernel offers.

mod canary;
mod console;
mod daemon;
pub mod image;
mod package;
pub mod programs;
pub mod raw;
pub mod residue;
mod site;
mod stuck;
#[cfg(test)]
mod threats;
mod wait;

pub use canary::Canary;
pub use console::{Console, Failure};
pub use daemon::{Daemon, Stream};
pub use package::{Package, flip_bit};
pub use programs::programs;
pub use residue::Residue;
pub use site::{Integrity, Site};
pub use wait::{PATIENCE, eventually};

/// Whether this is the virtual machine of the tests, which names itself.
#[must_use]
pub fn in_virtual_machine() -> bool {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .is_ok_and(|name| name.trim_end() == "northstar-vm")
}
