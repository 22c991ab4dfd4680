//! `sign` and `resign`.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use northstar_npk::key::{PublicKey, SecretKey};
use northstar_npk::{Package, sign};

use super::open;
use crate::output::Output;
use crate::progress::Bar;

/// Sign a package that is not signed
///
/// The image is read and hashed, so that nothing is signed that is not in the package.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The package
    npk: PathBuf,
    /// Secret key to sign with
    #[arg(short, long, value_name = "KEY")]
    key: PathBuf,
    /// The signed package, or a directory in which it is named NAME-VERSION.npk; without it the
    /// package itself is replaced
    #[arg(short, long, value_name = "DIR|FILE")]
    out: Option<PathBuf>,
}

/// Sign a package anew, in place of the signature it has
///
/// Nothing says who made the package once its signature is gone: name the key it has to be signed with
/// so far with --old-key.
#[derive(Debug, clap::Args)]
pub(crate) struct ResignArguments {
    #[command(flatten)]
    sign: Arguments,
    /// Public key that the package has to be signed with so far; otherwise it is refused
    #[arg(long, value_name = "PUB")]
    old_key: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, output: &mut Output) -> anyhow::Result<()> {
    let file = open(&arguments.npk)?;
    if is_signed(&arguments.npk, &file)? {
        bail!(
            "{} is signed already: replace its signature with resign",
            arguments.npk.display()
        );
    }
    write(arguments, &file, output)
}

pub(crate) fn resign(arguments: &ResignArguments, output: &mut Output) -> anyhow::Result<()> {
    let npk = &arguments.sign.npk;
    // Opened once: what is signed is what was checked, even if somebody replaces the file.
    let file = open(npk)?;
    if let Some(old) = &arguments.old_key {
        let key = PublicKey::read(old)?;
        Package::open(&file, Some(&key))
            .with_context(|| format!("{} is not signed with {}", npk.display(), old.display()))?;
    } else if !is_signed(npk, &file)? {
        bail!("{} is not signed: sign it with sign", npk.display());
    }
    write(&arguments.sign, &file, output)
}

fn is_signed(npk: &Path, file: &File) -> anyhow::Result<bool> {
    let package =
        Package::open(file, None).with_context(|| format!("{} is not a package", npk.display()))?;
    Ok(package.hashes().is_some())
}

fn write(arguments: &Arguments, file: &File, output: &mut Output) -> anyhow::Result<()> {
    let key = SecretKey::read(&arguments.key)?;
    let out = arguments.out.as_deref().unwrap_or(&arguments.npk);
    let bar = Bar::new();
    let signed = sign::sign(file, &key, out, Some(&|progress| bar.show(progress)))
        .with_context(|| format!("failed to sign {}", arguments.npk.display()))?;
    drop(bar);
    output.line(signed.path.display())
}
