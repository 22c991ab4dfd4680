//! Signing packages that exist, with a key that is here or elsewhere.
//!
//! What a signature stands for is one small document, the hashes of everything else
//! ([`signed_bytes`]). So a key can stay in a hardware module: it signs those bytes (Ed25519 as in
//! RFC 8032, not the prehashed variant), and [`attach_signature`] makes the signed package.
//!
//! A package that has a hash tree keeps it; one without gets one. Both times the image is read
//! and hashed, so that nobody signs what is not in the package. The manifest is kept byte for byte.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use northstar_manifest::Container;

use crate::archive::ArchiveError;
use crate::checksum::Checksums;
use crate::key::{KEY_SIZE, PublicKey, SIGNATURE_SIZE, SecretKey};
use crate::limits::BLOCK_U64;
use crate::pack::assemble::{self, Payload};
use crate::package::{OpenError, Package};
use crate::progress::{Counter, Report, Stage};
use crate::signature::{Hash, Hashes};
use crate::staging::{self, Staging};
use crate::verity::{self, VerityError};

/// A package that was signed.
#[derive(Debug, Clone, PartialEq)]
pub struct Signed {
    /// The file.
    pub path: PathBuf,
    /// Name and version.
    pub container: Container,
    /// Size of the file in bytes.
    pub size: u64,
    /// Root hash of the image.
    pub root_hash: Hash,
}

/// Why a package is not signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The package does not open.
    #[error("not a valid package")]
    Package(#[from] OpenError),
    /// The image of an unsigned package does not have the checksum of the archive, or the signed
    /// package cannot be written.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The image does not match the hash tree it has, or cannot be read.
    #[error("the image cannot be signed")]
    Verity(#[from] VerityError),
    /// The signature was not made over the bytes to be signed with the secret half of this key.
    #[error(
        "the signature is not one of key {} over this package",
        hex::encode(key)
    )]
    Signature {
        /// The public key it was checked with.
        key: [u8; KEY_SIZE],
    },
    /// The signed package is not valid.
    #[error("the written package is not valid")]
    Check(#[source] OpenError),
    /// A file cannot be written.
    #[error("failed to write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
}

/// Exactly the bytes that have to be signed for the package in `file`, whether it is signed already
/// or not.
///
/// The same package always has the same bytes.
pub fn signed_bytes(file: &File) -> Result<Vec<u8>, SignError> {
    let unsigned = Unsigned::read(file, None)?;
    Ok(unsigned.hashes.to_document().into_bytes())
}

/// Writes the package in `file` to `out` with a signature that was made elsewhere over its
/// [`signed_bytes`].
///
/// The signature is checked strictly with `key` before anything is written. `out` is a file, which
/// may be the one that is read, or a directory that gets a file `NAME-VERSION.npk`. The file
/// appears complete and synced, or not at all.
pub fn attach_signature(
    file: &File,
    signature: &[u8; SIGNATURE_SIZE],
    key: &PublicKey,
    out: &Path,
) -> Result<Signed, SignError> {
    let unsigned = Unsigned::read(file, None)?;
    unsigned.write(signature, key, out, None)
}

/// Signs the package in `file` with `key` and writes it to `out`, as [`attach_signature`] does.
///
/// A signature that it has is replaced.
pub fn sign(
    file: &File,
    key: &SecretKey,
    out: &Path,
    report: Option<Report<'_>>,
) -> Result<Signed, SignError> {
    let unsigned = Unsigned::read(file, report)?;
    let signature = key.sign(unsigned.hashes.to_document().as_bytes());
    unsigned.write(&signature, &key.public(), out, report)
}

/// A package that was read completely, and what a signature of it stands for.
struct Unsigned<'a> {
    file: &'a File,
    package: Package,
    hashes: Hashes,
    /// Superblock and tree, if the package does not have them.
    tail: Vec<u8>,
    /// Of the image with these.
    crc32: u32,
}

impl<'a> Unsigned<'a> {
    fn read(file: &'a File, report: Option<Report<'_>>) -> Result<Unsigned<'a>, SignError> {
        let package = Package::open(file, None)?;
        let image = package.image();
        let size = image.squashfs_size;
        let counter = Counter::new(report, Stage::HashTree, size);
        let (root_hash, tail, crc32) = match &image.verity {
            Some(existing) => {
                verity::verify_image_counted(file, image, &counter)?;
                let sums = Checksums::read(file, image.offset, image.size).map_err(unreadable)?;
                (existing.root_hash, Vec::new(), sums.all)
            }
            None => {
                // The checksum is all that vouches for the image.
                let sums = package.archive().checksums(file)?;
                let blocks = size / BLOCK_U64;
                let manifest = &package.archive().manifest;
                let tree = verity::build(file, image.offset, blocks, manifest, &sums, &counter)?;
                let tail = tree.to_bytes();
                let mut crc32 = sums.all;
                crc32.update(&tail);
                (tree.root_hash, tail, crc32)
            }
        };
        counter.finish();
        let hashes = assemble::hashes(&package.archive().manifest, root_hash, size);
        Ok(Unsigned {
            file,
            package,
            hashes,
            tail,
            crc32: crc32.finalize(),
        })
    }

    fn write(
        &self,
        signature: &[u8; SIGNATURE_SIZE],
        key: &PublicKey,
        out: &Path,
        report: Option<Report<'_>>,
    ) -> Result<Signed, SignError> {
        if !key.verifies(self.hashes.to_document().as_bytes(), signature) {
            return Err(SignError::Signature {
                key: *key.as_bytes(),
            });
        }
        let destination = staging::destination(out, &self.package.container());
        let path = destination.clone();
        let failed = |source| SignError::Write {
            path: path.clone(),
            source,
        };
        let image = self.package.image();
        let payload = Payload {
            file: self.file,
            offset: image.offset,
            size: image.size,
            tail: &self.tail,
            crc32: self.crc32,
        };
        let manifest = &self.package.archive().manifest;
        let signature = self.hashes.with_signature(signature);

        let staging = Staging::new(destination).map_err(failed)?;
        assemble::write(staging.file(), manifest, Some(&signature), &payload, report)?;
        assemble::check(staging.file(), Some(key)).map_err(SignError::Check)?;
        let size = staging.file().metadata().map_err(failed)?.len();
        Ok(Signed {
            path: staging.publish().map_err(failed)?,
            container: self.package.container(),
            size,
            root_hash: self.hashes.verity_root,
        })
    }
}

fn unreadable(source: io::Error) -> SignError {
    SignError::Archive(ArchiveError::Read {
        what: "fs.img",
        offset: 0,
        source,
    })
}
