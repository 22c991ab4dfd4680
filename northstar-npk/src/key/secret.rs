//! Secret keys.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use ed25519_dalek::{Signer, SigningKey};
use zeroize::Zeroizing;

use super::file::{has_extension, read_exactly, write_new};
use super::{KEY_SIZE, KeyError, PUBLIC, PublicKey, SECRET, SIGNATURE_SIZE};

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
