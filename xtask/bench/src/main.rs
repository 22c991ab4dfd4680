//! Measures the daemon the way a client sees it, over the console:
//!
//! - start: how long a mounted container that does nothing takes from the request to the answer, which is sent after
//!   execve, and to the notification of its end; next to it the same program without a container;
//! - mount: how long a daemon takes from its launch until a number of signed packages are mounted.
//!
//! Prints a table, and writes every single value to a JSON file. A figure without its spread and without the machine
//! it was taken on says little, so both are in there.

mod daemon;
mod mount;
mod report;
mod start;
mod statistics;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use clap::Parser;

/// Measure the start of containers and the mounting of packages.
#[derive(Debug, Parser)]
pub struct Arguments {
    /// The daemon.
    #[arg(long)]
    northstar: PathBuf,
    /// A static program that does nothing, and is what the container `noop:0.0.1` runs.
    #[arg(long)]
    noop: PathBuf,
    /// Folder with the package of `noop:0.0.1`.
    #[arg(long)]
    start_repository: PathBuf,
    /// Folder with the packages that are mounted.
    #[arg(long)]
    mount_repository: PathBuf,
    /// Public key of the packages.
    #[arg(long)]
    key: PathBuf,
    /// What checks the images: "dm-verity" or "full-read".
    #[arg(long)]
    integrity: String,
    /// Number of starts.
    #[arg(long)]
    starts: usize,
    /// Number of launches.
    #[arg(long)]
    launches: usize,
    /// File that receives every value.
    #[arg(long)]
    json: PathBuf,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    // One thread: the client must not compete with the daemon for more than one processor.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut measures = runtime
        .block_on(start::measure(&arguments))
        .context("start")?;
    measures.extend(
        runtime
            .block_on(mount::measure(&arguments))
            .context("mount")?,
    );
    let report = report::Report::new(&arguments, measures);
    print!("{report}");
    report.write(&arguments.json)?;
    Ok(ExitCode::SUCCESS)
}
