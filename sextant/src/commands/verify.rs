//! `verify`.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context;
use northstar_npk::key::PublicKey;
use northstar_npk::{Package, verity};

use super::open;
use crate::output::Output;
use crate::progress::Bar;
use crate::sbom::Sbom;

/// Check all of a package against a public key
///
/// That is its layout, the signature, the hashes it vouches for, the checksums, every block of the
/// image and its hash tree, and the bill of materials if the manifest names one.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The package
    npk: PathBuf,
    /// Public key the package has to be signed with
    #[arg(short, long, value_name = "PUB")]
    key: PathBuf,
}

pub(crate) fn run(arguments: &Arguments, output: &mut Output) -> anyhow::Result<()> {
    let path = arguments.npk.display();
    let file = open(&arguments.npk)?;
    let package = check(&arguments.npk, &file, &arguments.key)?;
    output.line(format_args!("{path}: {} is valid", package.container()))
}

/// Checks all of the package in `file`.
pub(super) fn check(npk: &Path, file: &File, key: &Path) -> anyhow::Result<Package> {
    let key = PublicKey::read(key)?;
    let refused = || format!("{} is refused", npk.display());
    let package = Package::open(file, Some(&key)).with_context(refused)?;
    let bar = Bar::new();
    let report = |progress| bar.show(progress);
    verity::verify_image_with(file, package.image(), Some(&report)).with_context(refused)?;
    drop(bar);
    package.archive().check_image(file).with_context(refused)?;
    Sbom::of(file, &package).with_context(refused)?;
    Ok(package)
}
