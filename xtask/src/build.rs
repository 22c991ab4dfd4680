//! Building with cargo, and finding what came out of it through cargo's own messages.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, anyhow};
use serde::Deserialize;

use crate::{
    process,
    workspace::{Workspace, cargo},
};

/// An executable cargo has built.
#[derive(Debug, Clone)]
pub struct Executable {
    /// Folder of the package's `Cargo.toml`, where cargo runs its tests.
    pub folder: PathBuf,
    /// Name of the target in its package.
    pub name: String,
    /// Kind of the target as cargo says it: `lib`, `bin`, `test`.
    pub kind: String,
    /// Whether it is a test program; tests of a binary come with the binary itself.
    pub is_test: bool,
    /// The file.
    pub path: PathBuf,
}

/// One line of cargo's JSON messages (`cargo help build`, "message-format"); other lines have another `reason`.
#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// Runs a cargo command that builds, and returns the executables it made or found up to date.
///
/// # Errors
/// The build fails, or cargo's messages are not the documented JSON.
pub fn executables(command: &mut Command) -> Result<Vec<Executable>> {
    eprintln!("$ {}", process::display(command));
    let messages = process::output(command.arg("--message-format=json-render-diagnostics"))?;
    let mut executables = Vec::new();
    for line in messages.lines() {
        let message: Message =
            serde_json::from_str(line).with_context(|| format!("cargo said: {line}"))?;
        if message.reason != "compiler-artifact" {
            continue;
        }
        if let (Some(manifest), Some(target), Some(path)) =
            (message.manifest_path, message.target, message.executable)
        {
            let folder = manifest.parent().unwrap_or(Path::new("/")).to_owned();
            let kind = target.kind.into_iter().next().unwrap_or_default();
            executables.push(Executable {
                folder,
                name: target.name,
                kind,
                is_test: message.profile.is_some_and(|profile| profile.test),
                path,
            });
        }
    }
    Ok(executables)
}

/// The programs a task runs, by name.
#[derive(Debug, Clone, Default)]
pub struct Programs(BTreeMap<String, PathBuf>);

impl Programs {
    /// Builds the binaries of `packages` for this machine; with the debug profile unless `release`.
    ///
    /// # Errors
    /// As for [`executables`].
    pub fn build(workspace: &Workspace, packages: &[&str], release: bool) -> Result<Self> {
        let mut command = cargo();
        command
            .current_dir(&workspace.root)
            .args(["build", "--bins"]);
        command.args(packages.iter().flat_map(|package| ["--package", package]));
        command.args(release.then_some("--release"));
        Ok(Self::of(executables(&mut command)?))
    }

    /// Builds statically linked binaries, which run in a container without a file of the host.
    ///
    /// # Errors
    /// As for [`executables`]; or rustc does not name the host.
    pub fn build_static(workspace: &Workspace, packages: &[String]) -> Result<Self> {
        let triple = process::output(Command::new("rustc").args(["--print", "host-tuple"]))?;
        let mut command = cargo();
        command
            .current_dir(&workspace.root)
            .args(["build", "--bins", "--release"]);
        command.args(["--target", triple.trim()]);
        command.args(packages.iter().flat_map(|package| ["--package", package]));
        // RUSTFLAGS replaces every other setting of flags, so it has to be the one that is extended.
        let flags = env::var("RUSTFLAGS").unwrap_or_default();
        command.env(
            "RUSTFLAGS",
            format!("{flags} -C target-feature=+crt-static").trim(),
        );
        // Small files and a quick build; there is nothing in them to optimise.
        command.env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
        command.env("CARGO_PROFILE_RELEASE_LTO", "off");
        Ok(Self::of(executables(&mut command)?))
    }

    fn of(executables: Vec<Executable>) -> Self {
        Self(
            executables
                .into_iter()
                .map(|found| (found.name, found.path))
                .collect(),
        )
    }

    /// The path of a program.
    ///
    /// # Errors
    /// It was not built.
    pub fn path(&self, name: &str) -> Result<&Path> {
        self.0
            .get(name)
            .map(PathBuf::as_path)
            .ok_or_else(|| anyhow!("{name} was not built"))
    }

    /// A command that runs a program.
    ///
    /// # Errors
    /// It was not built.
    pub fn command(&self, name: &str) -> Result<Command> {
        Ok(Command::new(self.path(name)?))
    }

    /// Copies all programs into a folder, over earlier copies, without what only debuggers read: it is three quarters of a file,
    /// and all of it would go to the virtual machine.
    ///
    /// # Errors
    /// A file cannot be written, or strip(1) fails.
    pub fn gather(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        for (name, path) in &self.0 {
            // Copied aside and renamed: a running program cannot be written to.
            let copy = folder.join(format!("{name}.new"));
            let mut strip = Command::new("strip");
            strip.arg("--strip-debug").arg("-o").arg(&copy).arg(path);
            process::run_quietly(&mut strip)?;
            fs::rename(&copy, folder.join(name))?;
        }
        Ok(())
    }
}
