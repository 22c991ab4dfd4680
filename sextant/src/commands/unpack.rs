//! `unpack`.

use std::path::PathBuf;

use anyhow::Context;
use northstar_manifest::parse_size;
use northstar_npk::Package;
use northstar_npk::unpack::{self, UnpackOptions};

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
    /// Largest size of all files together, such as 20GiB
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "8GiB")]
    max_size: u64,
    /// Largest number of files, directories and links
    #[arg(long, value_name = "N", default_value_t = UnpackOptions::default().max_files)]
    max_files: u64,
    /// Keep set-id bits, which are cleared otherwise
    #[arg(long)]
    keep_set_id: bool,
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
    let options = UnpackOptions {
        max_bytes: arguments.max_size,
        max_files: arguments.max_files,
        keep_set_id: arguments.keep_set_id,
    };
    let warnings = unpack::unpack_with(&file, &package, &arguments.out, &options)
        .with_context(|| format!("failed to unpack {path}"))?;
    warnings.iter().for_each(output::warn);
    output.line(arguments.out.display())
}
