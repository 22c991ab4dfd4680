//! Signing keys: raw 32-byte files, `NAME.key` (secret seed) and `NAME.pub`.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

/// Size in bytes of a secret seed, of a public key and of their files.
pub const KEY_SIZE: usize = 32;

/// Size in bytes of a signature.
pub const SIGNATURE_SIZE: usize = 64;

/// Extension of the file of a secret key.
const SECRET: &str = "key";

/// Extension of the file of a public key.
const PUBLIC: &str = "pub";

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

/// A public key that is known not to be weak.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Reads a raw 32-byte key file. One named `NAME.key` is refused: that is a secret key.
    pub fn read(path: &Path) -> Result<PublicKey, KeyError> {
        if has_extension(path, SECRET) {
            return Err(KeyError::NotPublic {
                path: path.to_owned(),
            });
        }
        let bytes = read_exactly(path)?;
        PublicKey::from_bytes(*bytes).map_err(|source| KeyError::File {
            path: path.to_owned(),
            source: Box::new(source),
        })
    }

    /// Takes raw key bytes. Points outside of the curve and of small order are refused.
    pub fn from_bytes(bytes: [u8; KEY_SIZE]) -> Result<PublicKey, KeyError> {
        let key = VerifyingKey::from_bytes(&bytes).map_err(KeyError::Invalid)?;
        if key.is_weak() {
            return Err(KeyError::Weak);
        }
        Ok(PublicKey(key))
    }

    /// The raw key.
    pub fn as_bytes(&self) -> &[u8; KEY_SIZE] {
        self.0.as_bytes()
    }

    /// True if `signature` over `message` was made with the secret half of this key.
    ///
    /// The strict check of RFC 8032 with canonical encodings only: the relaxed one accepts more
    /// than one signature for a message.
    pub fn verifies(&self, message: &[u8], signature: &[u8; SIGNATURE_SIZE]) -> bool {
        let signature = Signature::from_bytes(signature);
        self.0.verify_strict(message, &signature).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", hex::encode(self.as_bytes()))
    }
}

/// A secret signing key. It is wiped from memory when dropped.
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// Draws a new key from the random source of the system.
    pub fn generate() -> Result<SecretKey, KeyError> {
        let mut seed = Zeroizing::new([0; KEY_SIZE]);
        getrandom::fill(seed.as_mut()).map_err(KeyError::Random)?;
        Ok(SecretKey(SigningKey::from_bytes(&seed)))
    }

    /// Reads a raw 32-byte seed file.
    ///
    /// One named `NAME.pub` is refused, and `NAME.key` beside a `NAME.pub` that is not its public
    /// half: whoever checks the signatures would do so with that one.
    pub fn read(path: &Path) -> Result<SecretKey, KeyError> {
        if has_extension(path, PUBLIC) {
            return Err(KeyError::NotSecret {
                path: path.to_owned(),
            });
        }
        let seed = read_exactly(path)?;
        let key = SecretKey(SigningKey::from_bytes(&seed));
        if has_extension(path, SECRET) {
            key.check_sibling(path)?;
        }
        Ok(key)
    }

    fn check_sibling(&self, path: &Path) -> Result<(), KeyError> {
        let public = path.with_extension(PUBLIC);
        let is_half = match read_exactly(&public) {
            Ok(bytes) => *bytes == *self.public().as_bytes(),
            Err(KeyError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => true,
            Err(KeyError::Length { .. }) => false,
            Err(error) => return Err(error),
        };
        if is_half {
            return Ok(());
        }
        Err(KeyError::Mismatch {
            path: path.to_owned(),
            public,
        })
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs `message`. The same message always gives the same signature.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_SIZE] {
        self.0.sign(message).to_bytes()
    }

    /// Writes `NAME.key` (mode 0600) and `NAME.pub` into `directory` and returns both paths.
    ///
    /// Existing files are never overwritten, and after an error neither file is left.
    pub fn write_pair(&self, directory: &Path, name: &str) -> Result<KeyPaths, KeyError> {
        if name.is_empty() || name.contains(['/', '\0']) {
            return Err(KeyError::Name {
                name: name.to_owned(),
            });
        }
        let paths = KeyPaths {
            secret: directory.join(format!("{name}.{SECRET}")),
            public: directory.join(format!("{name}.{PUBLIC}")),
        };
        write_new(&paths.public, 0o644, self.public().as_bytes())?;
        if let Err(error) = write_new(&paths.secret, 0o600, self.0.as_bytes()) {
            // The first error is the one to report. A public key without its secret half is
            // harmless, should the removal fail as well.
            let _ = std::fs::remove_file(&paths.public);
            return Err(error);
        }
        Ok(paths)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {:?})", self.public())
    }
}

/// The two files of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPaths {
    /// `NAME.key`.
    pub secret: PathBuf,
    /// `NAME.pub`.
    pub public: PathBuf,
}

fn has_extension(path: &Path, wanted: &str) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case(wanted))
}

fn read_exactly(path: &Path) -> Result<Zeroizing<[u8; KEY_SIZE]>, KeyError> {
    let read = |source| KeyError::Read {
        path: path.to_owned(),
        source,
    };
    // One byte more than a key, so that a longer file is told from a key without reading it all.
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_SIZE + 1));
    File::open(path)
        .and_then(|file| file.take(KEY_SIZE as u64 + 1).read_to_end(&mut bytes))
        .map_err(read)?;
    let key: &[u8; KEY_SIZE] = bytes.as_slice().try_into().map_err(|_| KeyError::Length {
        path: path.to_owned(),
    })?;
    Ok(Zeroizing::new(*key))
}

fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), KeyError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => KeyError::Exists {
                path: path.to_owned(),
            },
            _ => KeyError::Write {
                path: path.to_owned(),
                source,
            },
        })?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(|source| {
            let _ = std::fs::remove_file(path);
            KeyError::Write {
                path: path.to_owned(),
                source,
            }
        })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// The eight points of small order in their canonical encodings are known; these are two:
    /// the neutral element and the point of order two.
    fn weak_keys() -> [[u8; KEY_SIZE]; 2] {
        let mut neutral = [0; KEY_SIZE];
        neutral[0] = 1;
        let mut order_two = [0xff; KEY_SIZE];
        order_two[0] = 0xec;
        order_two[31] = 0x7f;
        [neutral, order_two]
    }

    #[test]
    fn weak_public_keys_are_refused() {
        for weak in weak_keys() {
            assert!(matches!(PublicKey::from_bytes(weak), Err(KeyError::Weak)));
        }
    }

    #[test]
    fn bytes_outside_of_the_curve_are_refused() {
        let mut bytes = [0; KEY_SIZE];
        bytes[0] = 2;
        assert!(matches!(
            PublicKey::from_bytes(bytes),
            Err(KeyError::Invalid(_))
        ));
    }

    #[test]
    fn a_written_pair_reads_back_and_signs() {
        let dir = tempfile::tempdir().unwrap();
        let key = SecretKey::generate().unwrap();
        let paths = key.write_pair(dir.path(), "northstar").unwrap();
        assert_eq!(paths.secret, dir.path().join("northstar.key"));
        assert_eq!(paths.public, dir.path().join("northstar.pub"));
        let mode = std::fs::metadata(&paths.secret)
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o600);

        let secret = SecretKey::read(&paths.secret).unwrap();
        let public = PublicKey::read(&paths.public).unwrap();
        let signature = secret.sign(b"message");
        assert!(public.verifies(b"message", &signature));
        assert!(!public.verifies(b"messagf", &signature));
        let other = SecretKey::generate().unwrap();
        assert!(!other.public().verifies(b"message", &signature));
    }

    #[test]
    fn names_tell_the_halves_apart() {
        let dir = tempfile::tempdir().unwrap();
        let key = SecretKey::generate().unwrap();
        let paths = key.write_pair(dir.path(), "a").unwrap();
        assert!(matches!(
            SecretKey::read(&paths.public),
            Err(KeyError::NotSecret { path }) if path == paths.public
        ));
        assert!(matches!(
            PublicKey::read(&paths.secret),
            Err(KeyError::NotPublic { path }) if path == paths.secret
        ));
    }

    #[test]
    fn a_secret_key_beside_another_public_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let key = SecretKey::generate().unwrap();
        let paths = key.write_pair(dir.path(), "a").unwrap();
        let other = SecretKey::generate().unwrap().public();
        for sibling in [other.as_bytes().as_slice(), b"short"] {
            std::fs::write(&paths.public, sibling).unwrap();
            assert!(matches!(
                SecretKey::read(&paths.secret),
                Err(KeyError::Mismatch { path, public })
                    if path == paths.secret && public == paths.public
            ));
        }
        std::fs::remove_file(&paths.public).unwrap();
        assert_eq!(
            SecretKey::read(&paths.secret).unwrap().public(),
            key.public()
        );
    }

    #[test]
    fn existing_keys_are_never_overwritten() {
        for existing in ["a.key", "a.pub"] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(existing);
            std::fs::write(&path, b"precious").unwrap();
            let result = SecretKey::generate().unwrap().write_pair(dir.path(), "a");
            assert!(
                matches!(result, Err(KeyError::Exists { path: found }) if found == path),
                "{existing}"
            );
            assert_eq!(std::fs::read(&path).unwrap(), b"precious");
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn names_that_leave_the_directory_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["", "../a", "a/b", "/a"] {
            let result = SecretKey::generate().unwrap().write_pair(dir.path(), name);
            assert!(matches!(result, Err(KeyError::Name { .. })), "{name:?}");
        }
    }

    #[test]
    fn key_files_of_other_lengths_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        for length in [0, 31, 33, 64, 4096] {
            std::fs::write(&path, vec![7; length]).unwrap();
            assert!(matches!(
                PublicKey::read(&path),
                Err(KeyError::Length { .. })
            ));
            assert!(matches!(
                SecretKey::read(&path),
                Err(KeyError::Length { .. })
            ));
        }
    }
}
