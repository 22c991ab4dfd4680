//! The console: requests per second, the speed of an install, and what hostile clients do to a well-behaved one.
//!
//! Everything on this machine's loopback and Unix sockets, with client and daemon on the same processors.

mod hostile;
mod install;
mod rate;
mod site;
mod wire;

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::statistics::Measure;

/// Measure the console.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The daemon.
    #[arg(long)]
    northstar: PathBuf,
    /// Folder for packages and repositories; an install is measured on its file system.
    #[arg(long)]
    scratch: PathBuf,
    /// Number of requests of each kind.
    #[arg(long, default_value_t = 100_000)]
    requests: usize,
    /// Number of installs.
    #[arg(long, default_value_t = 5)]
    installs: usize,
    /// Number of hostile clients.
    #[arg(long, default_value_t = 1000)]
    hostile: usize,
    /// For how many seconds each kind of hostility is endured.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// File that receives every value.
    #[arg(long)]
    pub json: PathBuf,
}

/// Measures everything, one after the other.
///
/// # Errors
/// The daemon does not start, or does not answer as it has to.
pub fn measure(arguments: &Arguments) -> Result<Vec<Measure>> {
    let mut measures = rate::measure(arguments).context("requests per second")?;
    measures.extend(install::measure(arguments).context("install")?);
    measures.extend(hostile::measure(arguments).context("hostile clients")?);
    Ok(measures)
}
