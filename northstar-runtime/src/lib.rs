//! The Northstar daemon as a library.
//!
//! ```text
//! console  -->  supervisor  -->  launch  -->  northstar-sandbox (forker, init, payload)
//!                   |              |
//!               repository      storage, logs
//! ```
//!
//! * [`config`]: `northstar.toml`, checked
//! * [`repository`]: packages, installs and removals
//! * [`storage`]: mounted images
//! * [`logs`]: the output of containers

pub mod config;
pub mod logs;
pub mod repository;
pub mod storage;
