//! `digest`.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use northstar_npk::sign;

use super::open;
use crate::output::Output;

/// Print exactly the bytes that have to be signed for a package
///
/// For keys that cannot be read, as in a hardware module: sign these bytes with Ed25519 (RFC 8032; not
/// the prehashed variant), and put the signature into the package with attach-signature. They are a
/// short text with the hashes of everything in the package, and the same for the same package,
/// whether it is signed or not.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The package
    npk: PathBuf,
    /// Write them to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, output: &mut Output) -> anyhow::Result<()> {
    let file = open(&arguments.npk)?;
    let bytes = sign::signed_bytes(&file)
        .with_context(|| format!("failed to hash {}", arguments.npk.display()))?;
    match &arguments.out {
        Some(out) => {
            ensure!(
                !is_same(&file, out),
                "{} is the package itself",
                out.display()
            );
            fs::write(out, bytes).with_context(|| format!("failed to write {}", out.display()))
        }
        None => output.bytes(&bytes),
    }
}

/// Whether `path` leads to `file`, by whatever name.
fn is_same(file: &File, path: &Path) -> bool {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(file), Ok(path)) => identity(file) == identity(path),
        _ => false,
    }
}
