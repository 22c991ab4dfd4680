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
///
/// Without what cargo has told xtask about its own package: build scripts that ask for such variables (that of ring does) would
/// run again, and everything on top of them be built again, whenever cargo is called from elsewhere.
pub fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_of_package)) {
        cargo.env_remove(name);
    }
    cargo
}

/// Whether cargo sets the variable for the package that it builds or runs ("Environment Variables" of the cargo book).
pub fn is_of_package(variable: &str) -> bool {
    ["CARGO_BIN_", "CARGO_MANIFEST_", "CARGO_PKG_"]
        .iter()
        .any(|prefix| variable.starts_with(prefix))
        || ["CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"].contains(&variable)
}
