//! Making packages.
//!
//! Image, then tree, then hashes, then archive, then all of it read back and checked; only then
//! does the package get its name. Equal input gives equal bytes.

pub(crate) mod assemble;
mod error;
mod image;
mod options;
mod packer;

use std::fs::File;
use std::path::{Path, PathBuf};

use northstar_manifest::{Container, Manifest};

use self::assemble::Payload;
pub use self::error::{PackError, Warning};
use self::image::Squashfs;
pub use self::options::PackOptions;
pub use self::packer::Packer;
use crate::archive::ArchiveError;
use crate::checksum::Checksums;
use crate::key::SecretKey;
use crate::limits::BLOCK_U64;
use crate::package::Package;
use crate::progress::{Counter, Stage};
use crate::signature::Hash;
use crate::staging::{self, Staging};
use crate::verity::{self, HashTree};

/// A finished package.
#[derive(Debug, Clone, PartialEq)]
pub struct Packed {
    /// The file.
    pub path: PathBuf,
    /// Name and version.
    pub container: Container,
    /// Size of the file in bytes.
    pub size: u64,
    /// Root hash of the image, if the package is signed.
    pub root_hash: Option<Hash>,
    /// What the packer would like to be known.
    pub warnings: Vec<Warning>,
}

/// Packs to `out`, which is a file, or a directory that gets a file `NAME-VERSION.npk`.
///
/// An existing file is replaced. The file is synced and gets its name when it is complete; after
/// an error nothing is left of it.
pub fn pack(options: &PackOptions<'_>, out: &Path) -> Result<Packed, PackError> {
    let destination = staging::destination(out, &options.manifest.container());
    let built = build(options, staging::directory(&destination))?;
    assemble_one(options.manifest, options, &built, destination)
}

/// Packs `count` packages into the directory `out`, equal but for a number behind their names.
pub fn pack_clones(
    options: &PackOptions<'_>,
    count: u32,
    out: &Path,
) -> Result<Vec<Packed>, PackError> {
    let built = build(options, out)?;
    let width = count.saturating_sub(1).to_string().len();
    let mut packed = Vec::new();
    for number in 0..count {
        let mut manifest = options.manifest.clone();
        manifest.name = format!("{}-{number:0width$}", options.manifest.name).parse()?;
        let destination = out.join(staging::file_name(&manifest.container()));
        packed.push(assemble_one(&manifest, options, &built, destination)?);
    }
    Ok(packed)
}

/// A squashfs image.
struct Built {
    image: Squashfs,
    checksums: Checksums,
    warnings: Vec<Warning>,
}

/// Makes the image; `scratch` is a directory with room for it.
fn build(options: &PackOptions<'_>, scratch: &Path) -> Result<Built, PackError> {
    let differences = options.manifest.differences().into_iter();
    let mut warnings: Vec<_> = differences.map(Warning::Compatibility).collect();
    let image = image::make(options, scratch, &mut warnings)?;
    let checksums =
        Checksums::read(&image.file, 0, image.size).map_err(|source| PackError::Write {
            path: scratch.to_owned(),
            source,
        })?;
    Ok(Built {
        image,
        checksums,
        warnings,
    })
}

impl Built {
    /// The tree over the image of a package with this `manifest.yaml`, if it is going to be signed.
    fn tree(
        &self,
        manifest: &[u8],
        options: &PackOptions<'_>,
    ) -> Result<Option<HashTree>, PackError> {
        if options.key.is_none() {
            return Ok(None);
        }
        let Squashfs { file, size, .. } = &self.image;
        let counter = Counter::new(options.progress, Stage::HashTree, *size);
        let blocks = size / BLOCK_U64;
        let tree = verity::build(file, 0, blocks, manifest, &self.checksums, &counter)?;
        counter.finish();
        Ok(Some(tree))
    }
}

/// Puts a package around the image and checks it.
fn assemble_one(
    manifest: &Manifest,
    options: &PackOptions<'_>,
    built: &Built,
    destination: PathBuf,
) -> Result<Packed, PackError> {
    let path = destination.clone();
    let failed = |source| PackError::Write {
        path: path.clone(),
        source,
    };
    let yaml = yaml(manifest)?;
    let size = built.image.size;
    let tree = built.tree(&yaml, options)?;
    let signature = match (options.key, &tree) {
        (Some(key), Some(tree)) => Some(assemble::hashes(&yaml, tree.root_hash, size).sign(key)),
        _ => None,
    };
    let tail = tree.as_ref().map(HashTree::to_bytes);
    let tail = tail.unwrap_or_default();
    let mut crc32 = built.checksums.all.clone();
    crc32.update(&tail);
    let payload = Payload {
        file: &built.image.file,
        offset: 0,
        size,
        tail: &tail,
        crc32: crc32.finalize(),
    };

    let staging = Staging::new(destination).map_err(failed)?;
    let out = staging.file();
    assemble::write(out, &yaml, signature.as_deref(), &payload, options.progress)?;
    let size = check(out, options, built)?;
    Ok(Packed {
        path: staging.publish().map_err(failed)?,
        container: manifest.container(),
        size,
        root_hash: tree.map(|tree| tree.root_hash),
        warnings: built.warnings.clone(),
    })
}

/// The manifest as it is packed, which is known to load and to say the same.
fn yaml(manifest: &Manifest) -> Result<Vec<u8>, PackError> {
    let yaml = manifest.to_yaml()?.into_bytes();
    let read = Manifest::from_yaml(&yaml).map_err(|error| PackError::Manifest(Box::new(error)))?;
    match read == *manifest {
        true => Ok(yaml),
        false => Err(PackError::ManifestDiffers),
    }
}

/// Opens the written package as the daemon will, and reads all of its image. Returns its size.
fn check(file: &File, options: &PackOptions<'_>, built: &Built) -> Result<u64, PackError> {
    let key = options.key.map(SecretKey::public);
    let package: Package =
        assemble::check(file, key.as_ref()).map_err(|error| PackError::Check(Box::new(error)))?;
    built.image.check(file, package.image(), options)?;
    let metadata = file.metadata().map_err(|source| ArchiveError::Read {
        what: "file size",
        offset: 0,
        source,
    })?;
    Ok(metadata.len())
}
