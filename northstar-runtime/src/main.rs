//! The daemon's program: arguments, log, and [`northstar_runtime::run`].

use anyhow::Context;
use clap::Parser;
use northstar_runtime::{MountNamespace, binary, config::Config, logs::writer};
use std::{io::IsTerminal, path::PathBuf, process::ExitCode, time::Duration};
use tracing::error;
use tracing_subscriber::EnvFilter;

/// How long the last records may take to be written.
const FLUSH_TIME: Duration = Duration::from_secs(1);

/// Northstar: starts and watches containers made from signed packages.
#[derive(Debug, Parser)]
#[command(name = "northstar", version)]
struct Arguments {
    /// Configuration file
    #[arg(short, long, value_name = "FILE", default_value = "northstar.toml")]
    config: PathBuf,
    /// Check the configuration and exit: 0 if it is good, 1 with the reason if not
    #[arg(long)]
    check_config: bool,
    /// Stay in the mount namespace of the caller, so that mounts can be looked at
    #[arg(long)]
    disable_mount_namespace: bool,
    /// Run the program file itself instead of a sealed copy in memory: only where nobody can write the file system that it
    /// is on
    #[arg(long)]
    execute_in_place: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // First of all, so that everything is done, read and opened once.
    let sealed = if arguments.check_config || arguments.execute_in_place {
        Ok(())
    } else {
        binary::execute_sealed_copy()
    };
    log();
    let code = match sealed.map_err(Into::into).and_then(|()| run(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error:#}");
            ExitCode::FAILURE
        }
    };
    writer::flush(FLUSH_TIME);
    code
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let context = || format!("configuration {}", arguments.config.display());
    let config = Config::load(&arguments.config).with_context(context)?;
    if arguments.check_config {
        return config.read_credentials().with_context(context);
    }
    let namespace = if arguments.disable_mount_namespace {
        MountNamespace::Host
    } else {
        MountNamespace::Own
    };
    Ok(northstar_runtime::run(&config, namespace)?)
}

/// The log goes to stderr; `RUST_LOG` says how much of it, info by default.
fn log() {
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::level_filters::LevelFilter::INFO.into())
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer::Stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}
