//! nstar: the operator's command line for Northstar.
//!
//! `cli` says what can be written, `verbs` holds one file per verb, `session` is the connection they
//! work on, `resolve` finds the container that a bare name means, `package` is the file of an install,
//! `refusal` words what the daemon refused, and `failure` is where the exit codes come from.

mod cli;
mod failure;
mod output;
mod package;
mod refusal;
mod resolve;
mod session;
mod verbs;

use std::process::ExitCode;

use clap::Parser;
use tokio::runtime;

use crate::{cli::Cli, failure::Failure};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::complain(&failure);
            failure.code().into()
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Failure::Runtime { source })?;
    let result = runtime.block_on(verbs::run(cli));
    // A file that is being read for an install must not hold up the end.
    runtime.shutdown_background();
    result
}
