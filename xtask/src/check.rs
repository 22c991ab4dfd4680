//! `cargo xtask check`: everything that can be said about the sources without running them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};

use crate::{
    packages, process,
    workspace::{Workspace, cargo},
};

/// The release of cargo-deny that `deny.toml` is written for.
const CARGO_DENY: &str = "0.20.2";

/// The one folder whose code may be unsafe.
const UNSAFE_FOLDER: &str = "northstar-sys";

/// The lint that sees to it everywhere else.
const FORBID: &str = "unsafe_code = \"forbid\"";

/// Options of `cargo xtask check`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    packages: packages::Policy,
    /// Also look the dependencies up in the advisory database, which is fetched from github.com.
    #[arg(long)]
    advisories: bool,
}

/// One check: its name and what it does.
type Check<'a> = (&'a str, &'a dyn Fn() -> Result<()>);

/// Runs all checks, also after one has failed.
///
/// # Errors
/// A missing package. Failed checks are in the exit code.
pub fn main(arguments: Arguments) -> Result<ExitCode> {
    arguments
        .packages
        .require(&[packages::BUILD, packages::CHECK])?;
    let workspace = Workspace::locate()?;
    let cargo_in = |words: &[&str]| {
        let mut command = cargo();
        command.args(words).current_dir(&workspace.root);
        command
    };
    let checks: &[Check<'_>] = &[
        ("format", &|| {
            process::run(&mut cargo_in(&["fmt", "--all", "--check"]))
        }),
        ("clippy", &|| {
            let words = [
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "--deny",
                "warnings",
            ];
            process::run(&mut cargo_in(&words))
        }),
        ("documentation", &|| {
            let mut doc = cargo_in(&["doc", "--workspace", "--no-deps"]);
            process::run(doc.env("RUSTDOCFLAGS", "--deny warnings"))
        }),
        ("unsafe code", &|| unsafe_code(&workspace.root)),
        ("scripts", &|| scripts(&workspace.root)),
        ("dependencies", &|| {
            dependencies(&workspace, arguments.advisories)
        }),
    ];
    let mut failed = Vec::new();
    for (name, check) in checks {
        eprintln!("\n=== {name}");
        if let Err(error) = check() {
            eprintln!("=== {name}: {error:#}");
            failed.push(*name);
        }
    }
    if failed.is_empty() {
        println!("{} checks passed", checks.len());
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "{} of {} checks failed: {}",
        failed.len(),
        checks.len(),
        failed.join(", ")
    );
    Ok(ExitCode::FAILURE)
}

/// Licences, sources and bans by `deny.toml`. cargo-deny is built once, below the target directory.
fn dependencies(workspace: &Workspace, advisories: bool) -> Result<()> {
    let tools = workspace.scratch("tools");
    let program = tools.join("bin/cargo-deny");
    if !program.exists() {
        let build = tools.join("build");
        process::run(
            cargo()
                .args(["install", "--locked", "--debug", "--quiet"])
                .args(["cargo-deny", "--version", CARGO_DENY])
                .arg("--root")
                .arg(&tools)
                .arg("--target-dir")
                .arg(&build),
        )?;
        fs::remove_dir_all(&build).with_context(|| format!("cannot remove {}", build.display()))?;
    }
    let mut deny = Command::new(program);
    deny.current_dir(&workspace.root)
        .args(["check", "--allow", "duplicate"]);
    deny.args(["bans", "licenses", "sources"])
        .args(advisories.then_some("advisories"));
    process::run(&mut deny)
}

/// Shell scripts must parse, and please shellcheck.
fn scripts(root: &Path) -> Result<()> {
    for script in tracked(root)?.iter().filter(|path| is_script(path)) {
        process::run_quietly(Command::new("sh").arg("-n").arg(script))?;
        process::run(Command::new("shellcheck").arg(script).current_dir(root))?;
    }
    Ok(())
}

fn is_script(path: &Path) -> bool {
    fs::read(path).is_ok_and(|text| {
        let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        first.starts_with(b"#!") && first.ends_with(b"sh")
    })
}

/// Every crate but one must have the compiler forbid unsafe code, which no attribute in its sources can lift.
fn unsafe_code(root: &Path) -> Result<()> {
    let read = |path: &Path| {
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    };
    if !read(&root.join("Cargo.toml"))?.contains(FORBID) {
        bail!("the lints of the workspace lack {FORBID}");
    }
    for path in tracked(root)? {
        let is_manifest = path.file_name().is_some_and(|name| name == "Cargo.toml");
        let is_member = path.parent().is_some_and(|folder| folder != root);
        if !is_manifest || !is_member || path.starts_with(root.join(UNSAFE_FOLDER)) {
            continue;
        }
        if !forbids_unsafe(&read(&path)?) {
            bail!("{} does not forbid unsafe code", path.display());
        }
    }
    Ok(())
}

/// Whether a member's `Cargo.toml` takes the lints of the workspace, or says itself what matters here.
fn forbids_unsafe(manifest: &str) -> bool {
    let mut section = "";
    manifest.lines().map(str::trim).any(|line| {
        if line.starts_with('[') {
            section = line;
        }
        (section == "[lints]" && line == "workspace = true")
            || (section == "[lints.rust]" && line == FORBID)
    })
}

/// The files git tracks.
fn tracked(root: &Path) -> Result<Vec<PathBuf>> {
    let names = process::output(
        Command::new("git")
            .args(["ls-files", "-z"])
            .current_dir(root),
    )?;
    Ok(names
        .split_terminator('\0')
        .map(|name| root.join(name))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_that_forbid_unsafe_code_are_told_from_others() {
        assert!(forbids_unsafe(
            "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n"
        ));
        assert!(forbids_unsafe(
            "[lints.rust]\nmissing_docs = \"deny\"\nunsafe_code = \"forbid\"\n"
        ));
        assert!(!forbids_unsafe("[package]\nname = \"a\"\n"));
        assert!(!forbids_unsafe("[lints.rust]\nunsafe_code = \"deny\"\n"));
        assert!(!forbids_unsafe("[dependencies.x]\nworkspace = true\n"));
    }
}
