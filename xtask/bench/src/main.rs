//! Measures the daemon the way a client sees it, over the console, and the making and loading of packages.
//!
//! `daemon`:
//!
//! - start: how long a mounted container that does nothing takes from the request to the answer, which is sent after
//!   execve, and to the notification of its end; next to it the same program without a container;
//! - mount: how long a daemon takes from its launch until a number of signed packages are mounted.
//!
//! `pack`: packing a tree, building a hash tree, and opening packages; the first two next to the established programs.
//!
//! `console`: requests per second, installs next to plain writing, and what hostile clients do to others.
//!
//! Prints a table, and writes every single value to a JSON file. A figure without its spread and without the machine
//! it was taken on says little, so both are in there.

mod console;
mod daemon;
mod mount;
mod pack;
mod report;
mod start;
mod statistics;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use clap::Parser;

/// Measure the daemon, the making of packages, or the console.
#[derive(Debug, Parser)]
enum Command {
    Daemon(Arguments),
    Pack(pack::Arguments),
    Console(console::Arguments),
}

/// Measure the start of containers and the mounting of packages.
#[derive(Debug, clap::Args)]
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
    let (about, measures, json) = match Command::parse() {
        Command::Daemon(arguments) => {
            let about = format!("integrity {}", arguments.integrity);
            (about, daemon(&arguments)?, arguments.json)
        }
        Command::Pack(arguments) => {
            let about = "packages".to_owned();
            (about, pack::measure(&arguments)?, arguments.json)
        }
        Command::Console(arguments) => {
            let about = "console".to_owned();
            (about, console::measure(&arguments)?, arguments.json)
        }
    };
    let report = report::Report::new(about, measures);
    print!("{report}");
    report.write(&json)?;
    Ok(ExitCode::SUCCESS)
}

fn daemon(arguments: &Arguments) -> Result<Vec<statistics::Measure>> {
    // One thread: the client must not compete with the daemon for more than one processor.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut measures = runtime
        .block_on(start::measure(arguments))
        .context("start")?;
    measures.extend(
        runtime
            .block_on(mount::measure(arguments))
            .context("mount")?,
    );
    Ok(measures)
}
