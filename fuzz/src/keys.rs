//! The key that signs what targets and tests make. It is public, so it protects nothing.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use northstar_npk::key::{PublicKey, SecretKey};

/// The secret half.
pub static SECRET: LazyLock<SecretKey> =
    LazyLock::new(|| SecretKey::read(&fixture("fixture.key")).expect("the fixture's key"));

/// The public half.
pub static PUBLIC: LazyLock<PublicKey> = LazyLock::new(|| SECRET.public());

/// A file beside the packages of the reference packer.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../northstar-npk/tests/fixtures")
        .join(name)
}
