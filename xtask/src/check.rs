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

/// Unsafe code outside the one crate for it.
fn unsafe_code(root: &Path) -> Result<()> {
    let mut found = Vec::new();
    for path in tracked(root)? {
        let allowed = path.starts_with(root.join(UNSAFE_FOLDER));
        if allowed || path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        for (number, line) in (1..).zip(text.lines()) {
            if has_unsafe(line) {
                found.push(format!("{}:{number}", path.display()));
            }
        }
    }
    if !found.is_empty() {
        bail!("unsafe outside {UNSAFE_FOLDER}: {}", found.join(", "));
    }
    Ok(())
}

/// Whether a line of Rust has the keyword with what may follow it.
fn has_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or(line);
    code.match_indices("unsafe").any(|(at, word)| {
        let before = code.get(..at).and_then(|text| text.chars().next_back());
        let after = code
            .get(at.saturating_add(word.len())..)
            .unwrap_or_default()
            .trim_start();
        let begins = ["{", "(", "fn ", "impl", "trait ", "extern"];
        !before.is_some_and(|c| c.is_alphanumeric() || "_\"".contains(c))
            && begins.iter().any(|begin| after.starts_with(begin))
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
    fn unsafe_code_is_found() {
        for line in [
            "let x = unsafe { f() };",
            "unsafe fn f() {}",
            "    pub unsafe extern \"C\" fn f();",
            "unsafe impl Send for X {}",
            "#[unsafe(no_mangle)]",
        ] {
            assert!(has_unsafe(line), "{line}");
        }
    }

    #[test]
    fn talk_about_unsafe_code_is_not() {
        for line in [
            "// unsafe { f() }",
            "#![forbid(unsafe_code)]",
            "let unsafe_fn = 1;",
            "bail!(\"unsafe outside\")",
            "fn not_unsafe(x: u8) {}",
        ] {
            assert!(!has_unsafe(line), "{line}");
        }
    }
}
