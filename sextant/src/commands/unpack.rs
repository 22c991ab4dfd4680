//! `unpack`.

use std::path::PathBuf;

use anyhow::Context;
use northstar_npk::{Package, unpack};

use super::{open, verify};
use crate::output::{self, Output};

/// Unpack a package into a new directory: manifest.yaml, and the image below root
///
/// Without --key, signature and hashes are not checked. Whatever the image holds, nothing is written
/// outside of the directory.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The package
    #[arg(required_unless_present = "package", conflicts_with = "package")]
    npk: Option<PathBuf>,
    /// The package, as 0.9.x has it
    #[arg(
        short = 'n',
        long = "npk",
        value_name = "NPK",
        id = "package",
        hide = true
    )]
    package: Option<PathBuf>,
    /// Directory to make, or an empty one
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// Check all of the package against this public key before anything is written
    #[arg(short, long, value_name = "PUB")]
    key: Option<PathBuf>,
    /// Taken from scripts written for 0.9.x; no program is needed
    #[arg(long, value_name = "PROGRAM", hide = true)]
    unsquashfs: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, output: &mut Output) -> anyhow::Result<()> {
    let npk = arguments.npk.as_ref().or(arguments.package.as_ref());
    let npk = npk.context("the package is missing")?;
    let path = npk.display();
    let file = open(npk)?;
    let package = match &arguments.key {
        Some(key) => verify::check(npk, &file, key)?,
        None => Package::open(&file, None).with_context(|| format!("{path} is not a package"))?,
    };
    let warnings = unpack::unpack(&file, &package, &arguments.out)
        .with_context(|| format!("failed to unpack {path}"))?;
    warnings.iter().for_each(output::warn);
    output.line(arguments.out.display())
}
