//! `sextant` makes keys and makes, signs, shows, checks and unpacks packages.
//!
//! It is a library as well as a program, because `cargo npk` packs with the same options, messages
//! and manners.

mod cli;
mod commands;
pub mod man;
pub mod output;
pub mod packing;
mod progress;
pub mod sbom;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::output::Output;

/// What a status of exit means, for help and man pages.
pub const EXIT_STATUS: &str = "\
Exit status:
  0  done, and nothing was refused
  1  something is refused or failed; the reason is on standard error
  2  the command line is wrong";

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    let mut output = Output::new();
    let result = arguments.run(&mut output);
    output.exit(result)
}

/// The definition of the command line, from which completions and man pages are made.
#[must_use]
pub fn command() -> clap::Command {
    cli::Arguments::command()
}
