//! `cargo npk pack` builds the program of a crate and packs it.
//!
//! The way of a call: `settings` reads what the crate's `Cargo.toml` says, `compile` has cargo build the
//! program, `root` puts the content of the image together with the help of `libraries`, and `sextant`
//! packs it.

mod cli;
mod compile;
mod libraries;
mod pack;
mod root;
mod settings;

use std::process::ExitCode;

use clap::Parser;
use sextant::output::Output;

fn main() -> ExitCode {
    let cli::Cargo::Npk(npk) = cli::Cargo::parse();
    let mut output = Output::new();
    let result = match npk.command {
        cli::Command::Pack(arguments) => pack::run(&arguments, &mut output),
        cli::Command::Version => output.line(concat!("cargo-npk ", env!("CARGO_PKG_VERSION"))),
    };
    output.exit(result)
}
