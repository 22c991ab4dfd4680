//! `gen-key`.

use std::path::PathBuf;

use northstar_npk::key::SecretKey;

use crate::output::Output;

/// Make a key pair: NAME.key, to sign packages with, and NAME.pub, to check them with
///
/// The secret key gets the mode 0600. Existing files are never overwritten.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Name of the files, without extension
    #[arg(short, long)]
    name: String,
    /// Existing directory to write them to
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
}

pub(crate) fn run(arguments: &Arguments, output: &mut Output) -> anyhow::Result<()> {
    let key = SecretKey::generate()?;
    let paths = key.write_pair(&arguments.out, &arguments.name)?;
    output.line(paths.secret.display())?;
    output.line(paths.public.display())
}
