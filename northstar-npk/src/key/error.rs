//! What goes wrong with keys.

use std::io;
use std::path::PathBuf;

use super::KEY_SIZE;

/// Why a key cannot be read, made or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be read.
    #[error("failed to read key {}", path.display())]
    Read {
        /// The key file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The file does not hold exactly [`KEY_SIZE`] bytes.
    #[error("key {} is not {KEY_SIZE} bytes long", path.display())]
    Length {
        /// The key file.
        path: PathBuf,
    },
    /// A file with the name of a public key, where the secret half is needed. Any 32 bytes are a
    /// seed, so that a signature made with it would be one that everybody can make.
    #[error("{} is named as a public key: the secret half, NAME.key, is needed", path.display())]
    NotSecret {
        /// The key file.
        path: PathBuf,
    },
    /// A file with the name of a secret key, where the public half is needed.
    #[error("{} is named as a secret key: the public half, NAME.pub, is needed", path.display())]
    NotPublic {
        /// The key file.
        path: PathBuf,
    },
    /// `NAME.pub` beside a secret key `NAME.key` is not its public half.
    #[error("{} is not the public half of secret key {}", public.display(), path.display())]
    Mismatch {
        /// The secret key file.
        path: PathBuf,
        /// The public key file beside it.
        public: PathBuf,
    },
    /// The bytes are not a point of the curve.
    #[error("not an Ed25519 public key")]
    Invalid(#[source] ed25519_dalek::SignatureError),
    /// The public key has small order: it accepts signatures that nobody with a secret key made.
    #[error("weak public key (small order)")]
    Weak,
    /// As [`KeyError::Invalid`] and [`KeyError::Weak`], for a key that came from a file.
    #[error("public key {} is unusable", path.display())]
    File {
        /// The key file.
        path: PathBuf,
        /// Cause.
        source: Box<KeyError>,
    },
    /// The system gave no random bytes.
    #[error("failed to draw a random key")]
    Random(#[source] getrandom::Error),
    /// The name would leave the directory, or is empty.
    #[error("{name:?} is not a name for key files")]
    Name {
        /// The name asked for.
        name: String,
    },
    /// The file is there already. Keys are never overwritten.
    #[error("{} exists already", path.display())]
    Exists {
        /// The existing file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("failed to write key {}", path.display())]
    Write {
        /// The key file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
}
