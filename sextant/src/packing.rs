//! Packing, as `sextant pack` and `cargo npk pack` do it.

use std::env;
use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use northstar_manifest::Manifest;
use northstar_npk::key::SecretKey;
use northstar_npk::limits;
use northstar_npk::pack::{self, PackError, PackOptions, Packed, Packer};
use northstar_npk::squashfs::{Compression, SquashfsError, Xattrs};

use crate::output;
use crate::progress::Bar;
use crate::sbom::Sbom;

/// Reads a compression, and knows which there are.
pub fn compression() -> impl TypedValueParser<Value = Compression> {
    let words = Compression::ALL.map(Compression::as_str);
    PossibleValuesParser::new(words).try_map(|word| word.parse::<Compression>())
}

/// How the image is made.
#[derive(Debug, Clone, clap::Args)]
pub struct ImageArguments {
    /// Compression of the image
    #[arg(short, long, default_value_t, value_parser = compression())]
    pub compression: Compression,
    /// How many bytes of a file are compressed together: a power of two from 4096 to 1048576 [default: 131072]
    #[arg(short, long, value_name = "BYTES")]
    pub block_size: Option<u32>,
    /// Who makes it.
    #[command(flatten)]
    pub packer: PackerArguments,
}

/// Who makes the image.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct PackerArguments {
    /// Who makes the image: builtin needs no program, mksquashfs keeps extended attributes and hard
    /// links [default: builtin]
    #[arg(long, value_enum, value_name = "PACKER", hide_possible_values = true)]
    pub packer: Option<PackerName>,
    /// The program mksquashfs, if it is not in PATH; stands for --packer mksquashfs as well
    #[arg(long, value_name = "PROGRAM")]
    pub mksquashfs: Option<PathBuf>,
    /// How many threads mksquashfs uses [default: as many as there are cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// Leave extended attributes out, with a warning from the builtin packer, which otherwise refuses
    /// files that have some
    #[arg(long)]
    pub no_xattrs: bool,
}

/// A packer by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum PackerName {
    /// Needs no program, and gives the same bytes on any machine.
    Builtin,
    /// The program of squashfs-tools; the bytes depend on its version.
    Mksquashfs,
}

impl PackerArguments {
    fn choose(&self) -> anyhow::Result<Packer<'_>> {
        let program = self.mksquashfs.as_deref();
        let threads = self.threads;
        match (self.packer, program) {
            (Some(PackerName::Builtin), Some(_)) => {
                bail!("--mksquashfs is of no use to --packer builtin")
            }
            (Some(PackerName::Builtin) | None, None) => {
                ensure!(threads.is_none(), "--threads is for --packer mksquashfs");
                Ok(Packer::Builtin)
            }
            _ => Ok(Packer::Mksquashfs { program, threads }),
        }
    }
}

/// One call of a packer.
#[derive(Debug)]
pub struct Job<'a> {
    /// The manifest.
    pub manifest: Manifest,
    /// The directory with the content of the image.
    pub root: Option<&'a Path>,
    /// The secret key to sign with.
    pub key: Option<&'a Path>,
    /// How the image is made.
    pub image: &'a ImageArguments,
    /// An image that exists, in place of one that is made.
    pub fsimage: Option<&'a Path>,
    /// How many numbered copies are made in the directory `out`, instead of one package.
    pub clones: Option<u32>,
    /// The bill of materials.
    pub sbom: Option<&'a Path>,
    /// The package, or the directory it is written to.
    pub out: &'a Path,
}

impl Job<'_> {
    /// Packs, and prints warnings on standard error.
    ///
    /// # Errors
    ///
    /// Something is refused or fails; nothing is left of the package then.
    pub fn run(mut self) -> anyhow::Result<Vec<Packed>> {
        let key = self.key.map(SecretKey::read).transpose()?;
        let extra = self.add_sbom()?;
        let bar = Bar::new();
        let report = |progress| bar.show(progress);
        let options = PackOptions {
            root: self.root,
            key: key.as_ref(),
            extra: &extra,
            packer: match self.fsimage {
                Some(path) => Packer::Image { path },
                None => self.image.packer.choose()?,
            },
            compression: self.image.compression,
            block_size: self.image.block_size,
            xattrs: match self.image.packer.no_xattrs {
                true => Xattrs::Drop,
                false => Xattrs::Refuse,
            },
            mtime: source_date_epoch()?,
            progress: Some(&report),
            ..PackOptions::new(&self.manifest)
        };
        let packed = self.pack(&options);
        drop(bar);
        let packed =
            packed.with_context(|| format!("failed to pack {}", self.manifest.container()))?;
        // Clones differ in their names only, so the warnings of one are those of all.
        for warning in packed.iter().take(1).flat_map(|packed| &packed.warnings) {
            output::warn(warning);
        }
        Ok(packed)
    }

    /// The files that go into the image beside those of the root.
    fn add_sbom(&mut self) -> anyhow::Result<Vec<(PathBuf, Vec<u8>)>> {
        let Some(path) = self.sbom else {
            return Ok(Vec::new());
        };
        let refused = || format!("the bill of materials {} is refused", path.display());
        let sbom = Sbom::read(path).with_context(refused)?;
        sbom.add_to(&mut self.manifest).with_context(refused)?;
        Ok(vec![(sbom.format.path().into(), sbom.bytes)])
    }

    fn pack(&self, options: &PackOptions<'_>) -> anyhow::Result<Vec<Packed>> {
        let Some(count) = self.clones else {
            return Ok(vec![pack::pack(options, self.out).map_err(advise)?]);
        };
        ensure!(
            self.out.is_dir(),
            "{} is not a directory",
            self.out.display()
        );
        pack::pack_clones(options, count, self.out).map_err(advise)
    }
}

/// Adds what can be done about an error, if that is on the command line.
fn advise(error: PackError) -> anyhow::Error {
    let advice = match &error {
        PackError::Squashfs(SquashfsError::ExtendedAttribute { .. }) => {
            "leave extended attributes out with --no-xattrs or keep them with --packer mksquashfs"
        }
        PackError::Squashfs(SquashfsError::Mksquashfs { source, .. })
            if source.kind() == io::ErrorKind::NotFound =>
        {
            "install squashfs-tools, name the program with --mksquashfs, or use the builtin packer"
        }
        _ => return error.into(),
    };
    anyhow::Error::new(error).context(advice)
}

/// Reads the file of a manifest.
///
/// # Errors
///
/// It cannot be read, or is not valid.
pub fn read_manifest(path: &Path) -> anyhow::Result<Manifest> {
    let context = || format!("failed to read manifest {}", path.display());
    let file = File::open(path).with_context(context)?;
    // Not every file says how large it is.
    let mut bytes = Vec::new();
    file.take(limits::MANIFEST as u64 + 1)
        .read_to_end(&mut bytes)
        .with_context(context)?;
    ensure!(
        bytes.len() <= limits::MANIFEST,
        "manifest {} is larger than {} bytes",
        path.display(),
        limits::MANIFEST
    );
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
