//! Size limits of the small parts of a package, applied before anything is allocated.

/// Largest archive comment in bytes. It holds one line with the format version.
pub const COMMENT: usize = 1024;

/// Largest `signature.yaml` in bytes.
pub const SIGNATURE: usize = 4 * 1024;

/// Largest `manifest.yaml` in bytes.
pub const MANIFEST: usize = 64 * 1024;

/// Block size in bytes of the image, of the hash tree and of the alignment of `fs.img`.
///
/// Changing it is a break of the format.
pub const BLOCK: usize = 4096;

/// [`BLOCK`] for arithmetic on file offsets.
pub(crate) const BLOCK_U64: u64 = BLOCK as u64;

/// How much of an image is read at once where all of it is read, in bytes.
pub(crate) const PIECE: u64 = 512 * 1024;
