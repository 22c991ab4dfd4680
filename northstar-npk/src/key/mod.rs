//! Signing keys: raw 32-byte files, `NAME.key` (secret seed) and `NAME.pub`.

mod error;
mod file;
mod public;
mod secret;
#[cfg(test)]
mod tests;

pub use error::KeyError;
pub use public::PublicKey;
pub use secret::{KeyPaths, SecretKey};

/// Size in bytes of a secret seed, of a public key and of their files.
pub const KEY_SIZE: usize = 32;

/// Size in bytes of a signature.
pub const SIGNATURE_SIZE: usize = 64;

/// Extension of the file of a secret key.
const SECRET: &str = "key";

/// Extension of the file of a public key.
const PUBLIC: &str = "pub";
