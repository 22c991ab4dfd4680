//! Process isolation for one program at a time, without any idea of packages, repositories or
//! consoles.
//!
//! ```text
//!   daemon ---- create, created, exited ----> forker ---- clone3 ----> init (pid 1) --fork--> payload
//!      \                                     (one thread)                 /
//!       `------------- go, signal / armed, running, failed, exited -------'
//! ```
//!
//! The daemon forks the [`forker`] before it starts its threads. A start has two phases: *arm*
//! creates an init whose namespaces, mounts and root are as the [`plan::ArmPlan`] says, and *go*
//! runs the [`plan::ExecPlan`] in it. Init is born in its cgroup or joins it when it goes. Every
//! [`step::Step`] that fails comes back with its name and errno; `docs/start.md` lists them with
//! the reasons for their order.
//!
//! Whatever an init does, it affects its own container only: the daemon talks to each one over a
//! socket of its own and kills through a pidfd.

pub mod cgroup;
pub mod forker;
mod init;
mod ipc;
mod message;
pub mod mount;
mod null;
mod payload;
pub mod plan;
pub mod seccomp;
pub mod step;

pub use forker::{Control, Forker, ForkerEvent, InitEvent};
pub use ipc::{ReceiveError, SendError};
pub use message::ExitStatus;
pub use step::{Step, StepError};
