//! The command line.

use clap::{Parser, Subcommand};

use crate::commands::{
    attach_signature, completion, digest, gen_key, inspect, man, pack, schema, sign, unpack, verify,
};
use crate::output::Output;

/// Pack, sign, inspect and verify Northstar packages (NPK)
#[derive(Debug, Parser)]
#[command(name = "sextant", version, about, after_help = crate::EXIT_STATUS)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    GenKey(gen_key::Arguments),
    Pack(pack::Arguments),
    Sign(sign::Arguments),
    Resign(sign::ResignArguments),
    Digest(digest::Arguments),
    AttachSignature(attach_signature::Arguments),
    Inspect(inspect::Arguments),
    Verify(verify::Arguments),
    Unpack(unpack::Arguments),
    Schema(schema::Arguments),
    Completion(completion::Arguments),
    Man(man::Arguments),
}

impl Arguments {
    pub(crate) fn run(&self, output: &mut Output) -> anyhow::Result<()> {
        match &self.command {
            Command::GenKey(arguments) => gen_key::run(arguments, output),
            Command::Pack(arguments) => pack::run(arguments, output),
            Command::Sign(arguments) => sign::run(arguments, output),
            Command::Resign(arguments) => sign::resign(arguments, output),
            Command::Digest(arguments) => digest::run(arguments, output),
            Command::AttachSignature(arguments) => attach_signature::run(arguments, output),
            Command::Inspect(arguments) => inspect::run(arguments, output),
            Command::Verify(arguments) => verify::run(arguments, output),
            Command::Unpack(arguments) => unpack::run(arguments, output),
            Command::Schema(arguments) => schema::run(arguments, output),
            Command::Completion(arguments) => completion::run(arguments, output),
            Command::Man(arguments) => man::run(arguments, output),
        }
    }
}
