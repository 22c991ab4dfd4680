//! nstar: the operator's command line for Northstar.
//!
//! `cli` says what can be written, `verbs` holds one file per verb, `session` is the connection they
//! work on, `resolve` finds the containers that names and patterns mean, `package` is the file of an
//! install, `refusal` words what the daemon refused, `failure` is where the exit codes and `hint` where the advice
//! come from, `interrupt` is Ctrl-C, `complete` is what a shell asks for names, `top` is the live view,
//! and `seccomp` learns filters from recordings.

mod cli;
mod complete;
#[cfg(test)]
mod documents;
mod failure;
mod hint;
mod interrupt;
mod output;
mod package;
mod progress;
mod refusal;
mod resolve;
mod seccomp;
mod session;
mod top;
mod verbs;

use std::process::ExitCode;

use tokio::runtime;

use crate::{cli::Cli, failure::Failure};

fn main() -> ExitCode {
    complete::answer_shell();
    let cli = Cli::read();
    output::set_color(cli.color);
    match run(cli) {
        Ok(code) => code,
        Err(failure) => {
            output::complain(&failure);
            failure.code().into()
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Failure::Runtime { source })?;
    let result = runtime.block_on(verbs::run(cli));
    // A file or a terminal that is being read must not hold up the end.
    runtime.shutdown_background();
    result
}
