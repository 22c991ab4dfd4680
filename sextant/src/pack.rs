//! `pack`.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, bail, ensure};
use northstar_manifest::Manifest;
use northstar_npk::key::SecretKey;
use northstar_npk::limits;
use northstar_npk::pack::{self, PackOptions, Packed};
use northstar_npk::squashfs::Compression;

use crate::output::{self, Output};

/// Make a package out of a manifest and a directory
///
/// The same input gives the same bytes. Files get the owner of the manifest and the time in
/// SOURCE_DATE_EPOCH, or 0. The package is read back and checked before it gets its name.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The manifest
    #[arg(long, value_name = "FILE")]
    manifest_path: PathBuf,
    /// Directory with the content of the image; without it the image holds just the mount points
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// The package, or a directory in which it is named NAME-VERSION.npk
    #[arg(long, value_name = "DIR|FILE")]
    out: PathBuf,
    /// Secret key to sign with; without it the package is not signed
    #[arg(long, value_name = "KEY")]
    key: Option<PathBuf>,
    /// Compression of the image: none, gzip or zstd
    #[arg(long, default_value_t)]
    compression: Compression,
    /// Make this many packages, with a number behind their names, in the directory --out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    clones: Option<u32>,
}

pub(crate) fn run(arguments: &Arguments, output: &mut Output) -> anyhow::Result<()> {
    let manifest = read_manifest(&arguments.manifest_path)?;
    let key = match &arguments.key {
        Some(path) => Some(SecretKey::read(path)?),
        None => None,
    };
    let options = PackOptions {
        manifest: &manifest,
        root: arguments.root.as_deref(),
        key: key.as_ref(),
        compression: arguments.compression,
        mtime: source_date_epoch()?,
        ..PackOptions::new(&manifest)
    };
    let out = arguments.out.as_path();
    let packed = match arguments.clones {
        None => vec![pack::pack(&options, out).with_context(|| failed(arguments))?],
        Some(count) => {
            ensure!(out.is_dir(), "{} is not a directory", out.display());
            pack::pack_clones(&options, count, out).with_context(|| failed(arguments))?
        }
    };
    report(&packed, output)
}

fn failed(arguments: &Arguments) -> String {
    format!("failed to pack {}", arguments.manifest_path.display())
}

fn report(packed: &[Packed], output: &mut Output) -> anyhow::Result<()> {
    // Clones differ in their names only, so the warnings of one are those of all.
    for warning in packed.iter().take(1).flat_map(|packed| &packed.warnings) {
        output::warn(warning);
    }
    packed
        .iter()
        .try_for_each(|packed| output.line(packed.path.display()))
}

fn read_manifest(path: &Path) -> anyhow::Result<Manifest> {
    let context = || format!("failed to read manifest {}", path.display());
    let size = fs::metadata(path).with_context(context)?.len();
    ensure!(
        size <= limits::MANIFEST as u64,
        "manifest {} is larger than {} bytes",
        path.display(),
        limits::MANIFEST
    );
    let bytes = fs::read(path).with_context(context)?;
    Manifest::from_yaml(&bytes).with_context(|| format!("invalid manifest {}", path.display()))
}

/// The time that reproducible builds give to files: <https://reproducible-builds.org/specs/source-date-epoch/>.
fn source_date_epoch() -> anyhow::Result<u32> {
    match env::var("SOURCE_DATE_EPOCH") {
        Ok(seconds) => seconds
            .parse()
            .with_context(|| format!("SOURCE_DATE_EPOCH {seconds:?} is not a time until 2106")),
        Err(env::VarError::NotPresent) => Ok(0),
        Err(env::VarError::NotUnicode(_)) => bail!("SOURCE_DATE_EPOCH is not a number"),
    }
}
