//! Builds, packs and signs the examples.
//!
//! An example is a folder below `examples` with a `manifest.yaml`. Its files are the folder `root` as it is,
//! or, where the folder is a cargo package, the statically linked program under the name of the folder.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};

use crate::{build::Programs, packages, process, workspace::Workspace};

/// The repository of `northstar.toml`, relative to the root of the workspace.
const REPOSITORY: &str = "target/northstar/repository";

/// The key pair of the examples, relative to the root of the workspace. Both are public: they protect nothing.
pub const KEY: &str = "examples/northstar.key";
/// See [`KEY`].
pub const PUBLIC_KEY: &str = "examples/northstar.pub";

/// Options of `cargo xtask examples`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    packages: packages::Policy,
    /// Folder that receives the packages; without it target/northstar/repository, where northstar.toml looks.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Names of the examples to pack; without them all.
    names: Vec<String>,
}

/// Packs the examples and names the packages.
///
/// # Errors
/// See [`pack`].
pub fn main(arguments: Arguments) -> Result<ExitCode> {
    arguments.packages.require(&[packages::BUILD])?;
    let workspace = Workspace::locate()?;
    let out = arguments
        .out
        .unwrap_or_else(|| workspace.root.join(REPOSITORY));
    pack(&workspace, &arguments.names, &out)?;
    Ok(ExitCode::SUCCESS)
}

/// Packs the named examples, or all, into the folder `out`.
///
/// # Errors
/// An example does not build or cannot be packed, or there is none of that name.
pub fn pack(workspace: &Workspace, names: &[String], out: &Path) -> Result<()> {
    let examples = workspace.root.join("examples");
    let names = if names.is_empty() {
        all(&examples)?
    } else {
        names.to_vec()
    };
    let built: Vec<String> = names
        .iter()
        .map(|name| examples.join(name))
        .filter(|folder| is_package(folder))
        .map(|folder| specification(&folder))
        .collect();
    let programs = Programs::build_static(workspace, &built)?;
    let tools = Programs::build(workspace, &["sextant"], false)?;

    fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    for name in &names {
        let folder = examples.join(name);
        let mut root = folder.join("root");
        let staging = tempfile::tempdir()?;
        if is_package(&folder) {
            let program = programs.path(name)?;
            root = staging.path().to_owned();
            fs::copy(program, root.join(name))
                .with_context(|| format!("cannot copy {}", program.display()))?;
        }
        let mut sextant = tools.command("sextant")?;
        sextant
            .arg("pack")
            .arg("--manifest-path")
            .arg(folder.join("manifest.yaml"));
        if root.is_dir() {
            sextant.arg("--root").arg(root);
        }
        sextant
            .arg("--key")
            .arg(workspace.root.join(KEY))
            .arg("--out")
            .arg(out);
        process::run_quietly(&mut sextant)?;
    }
    eprintln!("packed {} into {}", names.join(", "), out.display());
    Ok(())
}

fn all(examples: &Path) -> Result<Vec<String>> {
    let mut names: Vec<String> = fs::read_dir(examples)
        .with_context(|| format!("cannot list {}", examples.display()))?
        .filter_map(|entry| entry.ok())
        .filter(|entry| entry.path().join("manifest.yaml").is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    Ok(names)
}

/// Names the cargo package in a folder. Its name alone may be that of a dependency too (`cargo help pkgid`).
pub fn specification(folder: &Path) -> String {
    format!(
        "path+file://{}",
        folder.to_string_lossy().replace(' ', "%20")
    )
}

fn is_package(folder: &Path) -> bool {
    folder.join("Cargo.toml").is_file()
}
