//! `inspect`.

mod human;
mod image;
mod json;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, ensure};
use northstar_npk::key::PublicKey;
use northstar_npk::squashfs::{self, Entry, EntryKind};
use northstar_npk::unpack::UnpackOptions;
use northstar_npk::{OpenError, Package};

use self::image::Form;
use super::open;
use crate::output::{Output, chain};
use crate::sbom::{Sbom, SbomError};

/// Show what is in a package: manifest, hashes, who signed it, and the files of the image
///
/// Nothing is refused beyond the layout: use verify for that.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The package
    npk: PathBuf,
    /// Print one JSON object instead
    #[arg(long, conflicts_with_all = ["short", "sbom"])]
    json: bool,
    /// Print one line: name, version, format version, and whether it is a resource
    #[arg(short, long, conflicts_with = "sbom")]
    short: bool,
    /// Say whether this public key signed the package; can be given more than once
    #[arg(short, long, value_name = "PUB")]
    key: Vec<PathBuf>,
    /// Hash the content of every file in the image (SHA-256)
    #[arg(long)]
    hashes: bool,
    /// Print the bill of materials, as it is in the image
    #[arg(long)]
    sbom: bool,
    /// Taken from scripts written for 0.9.x; no program is needed
    #[arg(long, value_name = "PROGRAM", hide = true)]
    unsquashfs: Option<PathBuf>,
}

/// What was found out about a package.
struct Findings {
    package: Package,
    form: Form,
    signers: Vec<Signer>,
    sbom: Result<Option<Sbom>, SbomError>,
    files: anyhow::Result<Vec<Entry>>,
    hashes: BTreeMap<PathBuf, [u8; 32]>,
}

/// A key that was asked about.
struct Signer {
    key: PathBuf,
    public: PublicKey,
    refused: Option<OpenError>,
}

pub(crate) fn run(arguments: &Arguments, output: &mut Output) -> anyhow::Result<()> {
    let path = arguments.npk.display();
    let file = open(&arguments.npk)?;
    let package = Package::open(&file, None).with_context(|| format!("{path} is not a package"))?;
    if arguments.short {
        return human::short(&package, output);
    }
    if arguments.sbom {
        return print_sbom(&arguments.npk, &file, &package, output);
    }
    let mut signers = Vec::new();
    for key in &arguments.key {
        signers.push(Signer {
            key: key.clone(),
            public: PublicKey::read(key)?,
            refused: Package::open(&file, Some(&PublicKey::read(key)?)).err(),
        });
    }
    let failed = || format!("failed to read the image of {path}");
    let hashes = match arguments.hashes {
        true => hash_files(&file, &package).with_context(failed)?,
        false => BTreeMap::new(),
    };
    let findings = Findings {
        form: Form::read(&file, package.image()).with_context(failed)?,
        signers,
        sbom: Sbom::of(&file, &package),
        files: squashfs::list(&file, package.image()).with_context(failed),
        hashes,
        package,
    };
    match arguments.json {
        true => json::print(findings, output),
        false => human::print(findings, output),
    }
}

/// A few bytes of an image can stand for files of any size, so there is a limit, the one of unpacking.
fn hash_files(file: &File, package: &Package) -> anyhow::Result<BTreeMap<PathBuf, [u8; 32]>> {
    let limit = UnpackOptions::default().max_bytes;
    let total = total_size(&squashfs::list(file, package.image())?);
    ensure!(
        total <= limit,
        "its files have {total} bytes: at most {limit} are hashed"
    );
    Ok(squashfs::hash_files(file, package.image())?)
}

/// Bytes of all files together, each counted once, as far as a number can say.
fn total_size(entries: &[Entry]) -> u64 {
    let files = entries.iter().filter(|entry| entry.link.is_none());
    let sizes = files.map(|entry| match entry.kind {
        EntryKind::File { size } => size,
        _ => 0,
    });
    sizes.fold(0, u64::saturating_add)
}

fn print_sbom(
    npk: &Path,
    file: &File,
    package: &Package,
    output: &mut Output,
) -> anyhow::Result<()> {
    let sbom = Sbom::of(file, package)
        .with_context(|| format!("the bill of materials of {} is refused", npk.display()))?;
    let sbom = sbom.ok_or_else(|| {
        anyhow!(
            "{} has no bill of materials: give one with pack --sbom",
            npk.display()
        )
    })?;
    output.bytes(&sbom.bytes)
}

impl Signer {
    /// Why it is not the one, in one line.
    fn reason(&self) -> Option<String> {
        self.refused.as_ref().map(|error| chain(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_add_up_and_do_not_wrap() {
        let entry = |kind| Entry {
            path: "/a".into(),
            kind,
            mode: 0o644,
            uid: 1,
            gid: 1,
            mtime: 0,
            link: None,
        };
        let file = |size| entry(EntryKind::File { size });
        assert_eq!(total_size(&[]), 0);
        let some = [file(3), entry(EntryKind::Directory), file(4)];
        assert_eq!(total_size(&some), 7);
        let mut link = file(3);
        link.link = Some("/first".into());
        assert_eq!(total_size(&[file(3), link]), 3);
        assert_eq!(total_size(&[file(u64::MAX), file(2)]), u64::MAX);
    }
}
