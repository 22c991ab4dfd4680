//! `sextant` makes keys and makes, shows, checks and unpacks packages.

mod gen_key;
mod inspect;
mod output;
mod pack;
mod unpack;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::output::Output;

/// Pack, sign, inspect and verify Northstar packages (NPK).
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    GenKey(gen_key::Arguments),
    Pack(pack::Arguments),
    Inspect(inspect::Arguments),
    Unpack(unpack::Arguments),
    Verify(verify::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut output = Output::new();
    let result = match &arguments.command {
        Command::GenKey(arguments) => gen_key::run(arguments, &mut output),
        Command::Pack(arguments) => pack::run(arguments, &mut output),
        Command::Inspect(arguments) => inspect::run(arguments, &mut output),
        Command::Unpack(arguments) => unpack::run(arguments, &mut output),
        Command::Verify(arguments) => verify::run(arguments, &mut output),
    };
    // What was found out before an error is shown before it.
    let finished = output.finish();
    match result.and(finished) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::report(&error);
            ExitCode::FAILURE
        }
    }
}
