//! Public keys.

use std::fmt;
use std::path::Path;

use ed25519_dalek::{Signature, VerifyingKey};

use super::file::{has_extension, read_exactly};
use super::{KEY_SIZE, KeyError, SECRET, SIGNATURE_SIZE};

/// A public key that is known not to be weak.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(pub(super) VerifyingKey);

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
