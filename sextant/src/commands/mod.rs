//! One file per command.

pub(crate) mod attach_signature;
pub(crate) mod completion;
pub(crate) mod digest;
pub(crate) mod gen_key;
pub(crate) mod inspect;
pub(crate) mod man;
pub(crate) mod pack;
pub(crate) mod schema;
pub(crate) mod sign;
pub(crate) mod unpack;
pub(crate) mod verify;

use std::fs::File;
use std::path::Path;

use anyhow::Context;

/// Opens a package to read it.
fn open(npk: &Path) -> anyhow::Result<File> {
    File::open(npk).with_context(|| format!("failed to open {}", npk.display()))
}
