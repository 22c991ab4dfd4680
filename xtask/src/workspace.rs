//! Where things are: the root of the workspace, the target directory, the host's target triple.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process;

/// The workspace as cargo sees it.
#[derive(Debug, Clone)]
pub struct Workspace {
    /// The folder of the top `Cargo.toml`.
    pub root: PathBuf,
    /// The target directory, wherever `CARGO_TARGET_DIR` or a cargo configuration puts it.
    pub target: PathBuf,
}

#[derive(Deserialize)]
struct Metadata {
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

impl Workspace {
    /// Asks cargo.
    ///
    /// # Errors
    /// cargo does not run, or its answer is not the documented JSON.
    pub fn locate() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let metadata = process::output(
            cargo()
                .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
                .arg("--manifest-path")
                .arg(manifest),
        )?;
        let metadata: Metadata =
            serde_json::from_str(&metadata).context("cannot read the answer of cargo metadata")?;
        Ok(Self {
            root: metadata.workspace_root,
            target: metadata.target_directory,
        })
    }

    /// The folder below the target directory that belongs to one task.
    pub fn scratch(&self, task: &str) -> PathBuf {
        self.target.join("xtask").join(task)
    }
}

/// The cargo that runs xtask, else the one in `PATH`.
pub fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}
