//! The forker: one thread that creates inits and reaps them.
//!
//! A process with threads must not fork and go on running Rust code in the child. The daemon has
//! threads, so it forks the forker first and asks it for everything that must be forked later.
//!
//! [`Forker`] and [`Control`] are the daemon's side; `process` is the forker itself.

mod control;
mod handle;
mod process;
mod stage;

pub use control::{Control, InitEvent};
pub use handle::{Forker, ForkerEvent, SpawnError};
pub(crate) use stage::{CONTAINER, EMPTY_DIRECTORY, EMPTY_FILE};
