//! Opening a package: every check that costs constant work, in the order that lets nothing be
//! interpreted before it is known who vouches for it.

use std::fs::File;
use std::os::unix::fs::FileExt;

use northstar_manifest::{Container, Manifest, ManifestError};
use semver::Version;

use crate::archive::{Archive, ArchiveError, EntryName};
use crate::key::PublicKey;
use crate::limits::{BLOCK, BLOCK_U64};
use crate::signature::{Hashes, SignatureError, sha256};
use crate::verity::{Superblock, SuperblockError, Verity, VerityError, verify_root_block};
use crate::version::{self, VersionError};

/// An opened and checked package, without its bytes.
#[derive(Debug, Clone)]
pub struct Package {
    archive: Archive,
    format_version: Version,
    manifest: Manifest,
    hashes: Option<Hashes>,
    image: Image,
}

/// Where the image of a package is, and what vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Where `fs.img` is in the file in bytes, a multiple of 4096.
    pub offset: u64,
    /// Size in bytes of all of `fs.img`: squashfs, superblock and tree.
    pub size: u64,
    /// Size in bytes of the squashfs image, a multiple of 4096.
    pub squashfs_size: u64,
    /// The hash tree; present exactly if the package is signed.
    ///
    /// It is authentic only if the package was opened with a key. Without one it is what
    /// the package claims about itself.
    pub verity: Option<Verity>,
}

/// Why a package is not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file is not a package archive.
    #[error("not a package archive")]
    Archive(#[from] ArchiveError),
    /// The package has a format version that is not read here.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// There is a key, but the package has no signature.
    #[error("package is not signed")]
    Unsigned,
    /// `signature.yaml` is malformed, or not signed with the key.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// A part differs from what was signed.
    #[error("{part} does not match its signed hash")]
    Hash {
        /// The part: the archive comment or `manifest.yaml`.
        part: &'static str,
    },
    /// The manifest is not valid.
    #[error("invalid manifest.yaml")]
    Manifest(#[from] ManifestError),
    /// `fs.img` has not the size that follows from the size of its squashfs image.
    #[error("fs.img is {found} bytes instead of {expected}")]
    ImageSize {
        /// Its size in bytes.
        found: u64,
        /// The size in bytes it has to have.
        expected: u64,
    },
    /// The verity superblock is not valid.
    #[error("invalid fs.img")]
    Superblock(#[from] SuperblockError),
    /// The top of the hash tree does not match the root hash.
    #[error("invalid fs.img")]
    Verity(#[from] VerityError),
}

impl Package {
    /// Opens the package in `file`.
    ///
    /// With a key, the package has to be signed with it, and comment, manifest and the top of the
    /// hash tree have to match what was signed. The signature is checked before anything it vouches
    /// for is parsed, apart from the format version. Without a key nothing is authenticated:
    /// the hashes of a signed package are read but not compared, and an unsigned one opens as well.
    ///
    /// The work is constant: of the image, the superblock and one more block are read. Reads are
    /// positioned, so `file` may be shared.
    pub fn open(file: &File, key: Option<&PublicKey>) -> Result<Package, OpenError> {
        let archive = Archive::read(file)?;
        let format_version = version::parse_comment(&archive.comment)?;
        let hashes = authenticate(&archive.manifest, archive.signature.as_deref(), key)?;
        if let (Some(_), Some(hashes)) = (key, &hashes) {
            check_comment(&archive.comment, hashes)?;
        }
        let manifest = Manifest::from_yaml(&archive.manifest)?;
        let image = image(file, &archive, hashes.as_ref())?;
        if let (Some(_), Some(verity)) = (key, &image.verity) {
            verify_root_block(file, image.offset, verity)?;
        }
        Ok(Package {
            archive,
            format_version,
            manifest,
            hashes,
            image,
        })
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Takes the manifest out of the package.
    pub fn into_manifest(self) -> Manifest {
        self.manifest
    }

    /// Name and version from the manifest.
    pub fn container(&self) -> Container {
        self.manifest.container()
    }

    /// The format version the archive comment names.
    pub fn format_version(&self) -> &Version {
        &self.format_version
    }

    /// The hashes of a signed package, authentic only if it was opened with a key.
    pub fn hashes(&self) -> Option<&Hashes> {
        self.hashes.as_ref()
    }

    /// The archive the package is in, with the small contents as they are in the file.
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    /// Where the image is.
    pub fn image(&self) -> &Image {
        &self.image
    }
}

/// Reads the signature and, if there is a key, checks it and the manifest against it.
pub(crate) fn authenticate(
    manifest: &[u8],
    signature: Option<&[u8]>,
    key: Option<&PublicKey>,
) -> Result<Option<Hashes>, OpenError> {
    let Some(key) = key else {
        return Ok(signature.map(Hashes::read_unauthenticated).transpose()?);
    };
    let hashes = Hashes::verify(signature.ok_or(OpenError::Unsigned)?, key)?;
    compare(manifest, &hashes.manifest, EntryName::Manifest.as_str())?;
    Ok(Some(hashes))
}

/// Checks the archive comment against its signed hash.
pub(crate) fn check_comment(comment: &[u8], hashes: &Hashes) -> Result<(), OpenError> {
    compare(comment, &hashes.meta, "archive comment")
}

fn compare(bytes: &[u8], hash: &[u8; 32], part: &'static str) -> Result<(), OpenError> {
    match sha256(bytes) == *hash {
        true => Ok(()),
        false => Err(OpenError::Hash { part }),
    }
}

/// Checks size and superblock of the image.
fn image(file: &File, archive: &Archive, hashes: Option<&Hashes>) -> Result<Image, OpenError> {
    let entry = archive.image;
    let mut image = Image {
        offset: entry.offset,
        size: entry.size,
        squashfs_size: entry.size,
        verity: None,
    };
    let expected = match hashes {
        None => entry.size.next_multiple_of(BLOCK_U64),
        Some(hashes) => {
            let verity = read_superblock(file, entry.offset, entry.size, hashes)?;
            let expected = verity.total_blocks() * BLOCK_U64;
            image.squashfs_size = hashes.verity_offset;
            image.verity = Some(verity);
            expected
        }
    };
    if entry.size != expected {
        return Err(OpenError::ImageSize {
            found: entry.size,
            expected,
        });
    }
    Ok(image)
}

fn read_superblock(
    file: &File,
    image_offset: u64,
    image_size: u64,
    hashes: &Hashes,
) -> Result<Verity, OpenError> {
    let offset = hashes.verity_offset;
    // `fs.img` is below 4 GiB, and past this check so is the offset.
    if offset > image_size.saturating_sub(BLOCK_U64) {
        return Err(OpenError::ImageSize {
            found: image_size,
            expected: offset.saturating_add(BLOCK_U64),
        });
    }
    let data_blocks = offset / BLOCK_U64;
    let mut block = [0; BLOCK];
    file.read_exact_at(&mut block, image_offset + offset)
        .map_err(|source| VerityError::Read {
            block: data_blocks,
            source,
        })?;
    let superblock = Superblock::parse(&block, data_blocks)?;
    Ok(Verity {
        root_hash: hashes.verity_root,
        salt: superblock.salt,
        data_blocks,
        tree_offset_in_image: offset + BLOCK_U64,
    })
}
