//! The Northstar daemon as a library.
//!
//! ```text
//! console  -->  supervisor  -->  launch  -->  northstar-sandbox (forker, init, payload)
//!                   |              |
//!               repository      storage, logs
//! ```
//!
//! * [`binary`]: the daemon's program, which no container can alter
//! * [`config`]: `northstar.toml`, checked
//! * [`console`]: clients and what they may do
//! * [`supervisor`]: the one owner of all state
//! * [`launch`]: the phases of a start and of its undoing
//! * [`repository`]: packages, where they are kept and how they get there
//! * [`storage`]: mounted images
//! * [`logs`]: the output of containers

#![allow(
    rustdoc::private_intra_doc_links,
    reason = "the documentation is for those who work on the daemon: it is read with --document-private-items"
)]

pub mod binary;
pub mod config;
pub mod console;
pub mod launch;
pub mod logs;
pub mod repository;
pub mod storage;
pub mod supervisor;

mod daemon;
mod selinux;
mod startup;

pub use daemon::{MountNamespace, RunError, run};
