//! `unpack`.

use std::fs::File;
use std::path::PathBuf;

use anyhow::Context;
use northstar_npk::{Package, unpack};

use crate::output::{self, Output};

/// Unpack a package into a new directory: manifest.yaml, and the image below root
///
/// Signature and hashes are not checked: do that first with verify.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The package
    npk: PathBuf,
    /// Directory to make, or an empty one
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(crate) fn run(arguments: &Arguments, output: &mut Output) -> anyhow::Result<()> {
    let path = arguments.npk.display();
    let file = File::open(&arguments.npk).with_context(|| format!("failed to open {path}"))?;
    let package = Package::open(&file, None).with_context(|| format!("{path} is not a package"))?;
    let warnings = unpack::unpack(&file, &package, &arguments.out)
        .with_context(|| format!("failed to unpack {path}"))?;
    warnings.iter().for_each(output::warn);
    output.line(arguments.out.display())
}
