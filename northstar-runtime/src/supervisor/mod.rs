//! The supervisor: everything the daemon knows about its containers, and who may do what to them when.
//!
//! One task, the [`driver`], owns all state. The consoles hold a [`Handle`] and send commands; long work (mount,
//! launch, install, uninstall, clean-up) runs in tasks of its own and comes back to the driver as an outcome. The
//! driver itself never waits for anything but its next message.
//!
//! Whether a request may run now is decided by [`admission`], a pure function; what a container is at the moment is
//! in [`registry`], where each state carries only what exists in it:
//!
//! ```text
//!            mount                    start                    execve
//! Installed -------> Mounting -> Mounted -------> Starting -----------> Running
//!     ^                            |  ^              | failed              | exit
//!     |        umount              |  +--------------+<----- Exiting <-----+
//!     +--------- Unmounting <------+                        (clean-up)
//! ```
//!
//! `uninstall` goes the way of `umount` and then removes the package (`Uninstalling`).

mod command;
mod error;
mod event;
mod handle;
mod inspection;
mod install;

pub(crate) use error::report;
pub use error::{Error, Gone, InvalidArguments};
pub use event::{Event, ExitStatus, MemoryEvents};
pub use handle::{Handle, StartOverrides};
pub use inspection::{Inspection, Process, Protection, Statistics};
pub use install::InstallSlot;

/// Most arguments of a start.
pub const MAX_ARGUMENTS: usize = 256;
/// Most bytes of init, arguments and environment of a start together.
pub const MAX_ARGUMENT_BYTES: usize = 32 * 1024;
/// Most environment variables of a start.
pub const MAX_ENVIRONMENT: usize = 64;
/// Most bytes of a variable's name.
pub const MAX_VARIABLE_NAME: usize = 64;
/// Most bytes of a variable's value.
pub const MAX_VARIABLE_VALUE: usize = 1024;
