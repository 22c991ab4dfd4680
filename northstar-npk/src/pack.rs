//! Making packages.
//!
//! Image, then tree, then hashes, then archive, then all of it read back and checked; only then
//! does the package get its name. Equal input gives equal bytes.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use northstar_manifest::{Container, Difference, Manifest, ManifestError};

use crate::archive::{self, ArchiveError};
use crate::key::SecretKey;
use crate::limits::BLOCK_U64;
use crate::package::{Image, OpenError, Package};
use crate::signature::{Hash, Hashes, sha256};
use crate::squashfs::{self, Attributes, Compression, Expected, SquashfsError, Tree, Written};
use crate::verity::{self, Tree as HashTree, VerityError};
use crate::version::{self, FORMAT_VERSION};

/// What to pack, and how.
#[derive(Debug, Clone, Copy)]
pub struct PackOptions<'a> {
    /// The manifest. It is written anew, so comments are not carried over.
    pub manifest: &'a Manifest,
    /// The directory whose content goes into the image; without it just the mount points do.
    pub root: Option<&'a Path>,
    /// Signs the package; without it the package is not signed and has no hash tree.
    pub key: Option<&'a SecretKey>,
    /// Compression of the image.
    pub compression: Compression,
    /// Time of last modification of every file in seconds since 1970.
    ///
    /// Command lines take it from the environment variable `SOURCE_DATE_EPOCH` and else use 0.
    pub mtime: u32,
}

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

/// Something that is not an error but may not be what was meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// A device node of the tree was left out: devices in an image are never honoured.
    #[error("device node {} is left out", path.display())]
    DeviceDropped {
        /// Path in the tree.
        path: PathBuf,
    },
    /// An extended attribute was left out.
    #[error("extended attribute {attribute} of {} is left out", path.display())]
    AttributeDropped {
        /// Path in the tree.
        path: PathBuf,
        /// Name of the attribute.
        attribute: String,
    },
    /// Northstar 0.9.2 reads the manifest differently, or not at all.
    #[error("0.9.2 compatibility: {0}")]
    Compatibility(Difference),
}

/// Why nothing was packed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// The manifest cannot be written as YAML, or does not read back.
    #[error("invalid manifest")]
    Manifest(#[source] ManifestError),
    /// The manifest changes when it is written and read.
    #[error("manifest does not read back as it was written")]
    ManifestDiffers,
    /// The manifest cannot be written as YAML.
    #[error("failed to write the manifest as YAML")]
    ManifestYaml(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The number of clones makes a name that is too long.
    #[error("invalid name for a clone")]
    CloneName(#[from] northstar_manifest::InvalidName),
    /// The image cannot be made, or does not read back.
    #[error(transparent)]
    Squashfs(#[from] SquashfsError),
    /// The hash tree cannot be made, or does not verify.
    #[error("failed to make the hash tree")]
    Verity(#[from] VerityError),
    /// The archive cannot be written, or something is too large for it.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The finished package does not open.
    #[error("the written package is not valid")]
    Check(#[from] OpenError),
    /// A file cannot be written.
    #[error("failed to write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
}

/// Packs to `out`, which is a file, or a directory that gets a file `NAME-VERSION.npk`.
///
/// An existing file is replaced. The file is synced and gets its name when it is complete; after
/// an error nothing is left of it.
pub fn pack(options: &PackOptions<'_>, out: &Path) -> Result<Packed, PackError> {
    let destination = destination(out, options.manifest);
    let built = build(options, directory(&destination))?;
    assemble(options.manifest, options, &built, &destination)
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
        let destination = out.join(file_name(&manifest));
        packed.push(assemble(&manifest, options, &built, &destination)?);
    }
    Ok(packed)
}

fn file_name(manifest: &Manifest) -> String {
    format!("{}-{}.npk", manifest.name, manifest.version)
}

fn destination(out: &Path, manifest: &Manifest) -> PathBuf {
    match out.is_dir() {
        true => out.join(file_name(manifest)),
        false => out.to_owned(),
    }
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The content of `fs.img` in a file without a name.
struct Built {
    tree: Tree,
    attributes: Attributes,
    file: File,
    written: Written,
    hashes: Option<HashTree>,
    size: u64,
    crc32: u32,
    warnings: Vec<Warning>,
}

/// Makes image and hash tree; `scratch` is a directory with room for them.
fn build(options: &PackOptions<'_>, scratch: &Path) -> Result<Built, PackError> {
    let failed = |source| PackError::Write {
        path: scratch.to_owned(),
        source,
    };
    let manifest = options.manifest;
    let differences = manifest.differences().into_iter();
    let mut warnings: Vec<_> = differences.map(Warning::Compatibility).collect();
    let mut tree = match options.root {
        Some(root) => Tree::read(root, &mut warnings)?,
        None => Tree::empty(),
    };
    tree.add_mount_points(manifest)?;

    let attributes = Attributes {
        uid: manifest.uid,
        gid: manifest.gid,
        mtime: options.mtime,
    };
    let mut file = tempfile::tempfile_in(scratch).map_err(failed)?;
    let written = squashfs::write(&tree, attributes, options.compression, &file)?;
    let hashes = match options.key {
        Some(_) => Some(verity::build(&file, written.size / BLOCK_U64)?),
        None => None,
    };
    if let Some(hashes) = &hashes {
        file.seek(SeekFrom::End(0))
            .and_then(|_| file.write_all(&hashes.superblock.encode()))
            .and_then(|()| file.write_all(&hashes.blocks))
            .map_err(failed)?;
    }
    let (size, crc32) = checksum(&mut file).map_err(failed)?;
    Ok(Built {
        tree,
        attributes,
        file,
        written,
        hashes,
        size,
        crc32,
        warnings,
    })
}

fn checksum(file: &mut File) -> io::Result<(u64, u32)> {
    file.rewind()?;
    let mut hasher = crc32fast::Hasher::new();
    let mut buffer = vec![0; 128 * 1024];
    let mut size = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((size, hasher.finalize()));
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
        size += read as u64;
    }
}

/// Puts a package around the image and checks it.
fn assemble(
    manifest: &Manifest,
    options: &PackOptions<'_>,
    built: &Built,
    destination: &Path,
) -> Result<Packed, PackError> {
    let failed = |source| PackError::Write {
        path: destination.to_owned(),
        source,
    };
    let yaml = yaml(manifest)?;
    let comment = version::comment(&FORMAT_VERSION);
    let signature = match (options.key, &built.hashes) {
        (Some(key), Some(tree)) => {
            let hashes = Hashes {
                meta: sha256(&comment),
                manifest: sha256(&yaml),
                verity_root: tree.root_hash,
                verity_offset: built.written.size,
            };
            Some(hashes.sign(key))
        }
        _ => None,
    };

    // As any new file: the umask decides who may read a package.
    let mut staging = tempfile::Builder::new()
        .prefix(".pack-")
        .suffix(".tmp")
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(directory(destination))
        .map_err(failed)?;
    let mut image = &built.file;
    image.rewind().map_err(failed)?;
    archive::write(
        staging.as_file_mut(),
        &archive::Contents {
            comment: &comment,
            manifest: &yaml,
            signature: signature.as_deref(),
            image_size: built.size,
            image_crc32: built.crc32,
        },
        &mut image,
    )?;
    let size = check(staging.as_file(), options, built)?;
    staging.as_file().sync_all().map_err(failed)?;
    staging
        .persist(destination)
        .map_err(|error| failed(error.error))?;
    Ok(Packed {
        path: destination.to_owned(),
        container: manifest.container(),
        size,
        root_hash: built.hashes.as_ref().map(|tree| tree.root_hash),
        warnings: built.warnings.clone(),
    })
}

/// The manifest as it is packed, which is known to load and to say the same.
fn yaml(manifest: &Manifest) -> Result<Vec<u8>, PackError> {
    let yaml = manifest
        .to_yaml()
        .map_err(|error| PackError::ManifestYaml(error.into()))?
        .into_bytes();
    let read = Manifest::from_yaml(&yaml).map_err(PackError::Manifest)?;
    match read == *manifest {
        true => Ok(yaml),
        false => Err(PackError::ManifestDiffers),
    }
}

/// Opens the written package as the daemon will, and reads all of its image. Returns its size.
fn check(file: &File, options: &PackOptions<'_>, built: &Built) -> Result<u64, PackError> {
    let key = options.key.map(SecretKey::public);
    let package = Package::open(file, key.as_ref())?;
    let image: &Image = package.image();
    if image.verity.is_some() {
        verity::verify_image(file, image)?;
    }
    let expected = Expected {
        tree: &built.tree,
        attributes: built.attributes,
        written: &built.written,
    };
    squashfs::check(file, image, expected)?;
    let metadata = file.metadata().map_err(|source| ArchiveError::Read {
        what: "file size",
        offset: 0,
        source,
    })?;
    Ok(metadata.len())
}
