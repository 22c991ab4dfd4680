//! `verify`.

use std::fs::File;
use std::path::PathBuf;

use anyhow::Context;
use northstar_npk::key::PublicKey;
use northstar_npk::{Package, verity};

use crate::output::Output;

/// Check all of a package against a public key
///
/// That is its layout, the signature, the hashes it vouches for, the checksums, and every block of
/// the image and its hash tree. Exits with 0, or with 1 and the reason.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The package
    npk: PathBuf,
    /// Public key the package has to be signed with
    #[arg(long, value_name = "PUB")]
    key: PathBuf,
}

pub(crate) fn run(arguments: &Arguments, output: &mut Output) -> anyhow::Result<()> {
    let path = arguments.npk.display();
    let key = PublicKey::read(&arguments.key)?;
    let file = File::open(&arguments.npk).with_context(|| format!("failed to open {path}"))?;
    let refused = || format!("{path} is refused");
    let package = Package::open(&file, Some(&key)).with_context(refused)?;
    verity::verify_image(&file, package.image()).with_context(refused)?;
    package.archive().check_image(&file).with_context(refused)?;
    output.line(format_args!("{path}: {} is valid", package.container()))
}
