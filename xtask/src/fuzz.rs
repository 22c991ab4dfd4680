//! `cargo xtask fuzz`: long runs of the fuzz targets under libFuzzer, with coverage to guide them.
//!
//! The targets and the short run of them are the crate `northstar-fuzz`; how to read the numbers is in
//! `docs/assurance.md`. Everything works with the stable toolchain, and needs a C++ compiler.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{
    packages, process,
    workspace::{Workspace, cargo},
};

/// The targets, and the crates whose coverage guides each.
const TARGETS: &[(&str, Group)] = &[
    ("archive", Group::Package),
    ("package", Group::Package),
    ("signature", Group::Package),
    ("tree", Group::Package),
    ("tree-deep", Group::Package),
    ("unpack", Group::Package),
    ("manifest", Group::Text),
    ("codec", Group::Daemon),
    ("session", Group::Daemon),
    ("config", Group::Daemon),
    ("seccomp", Group::Daemon),
    ("groups", Group::Daemon),
];

/// Targets that are built together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Package,
    Text,
    Daemon,
}

impl Group {
    fn folder(self) -> &'static str {
        match self {
            Group::Package => "package",
            Group::Text => "text",
            Group::Daemon => "daemon",
        }
    }

    /// The crates that get counters.
    fn crates(self) -> &'static str {
        match self {
            Group::Package => "northstar_npk backhand base64 hex lzma_rust2",
            Group::Text => "northstar_manifest serde_saphyr granit_parser semver serde_json",
            Group::Daemon => {
                "northstar_api northstar_manifest northstar_runtime northstar_sandbox base64 seccompiler \
                 serde_json toml toml_parser winnow"
            }
        }
    }
}

/// Options of `cargo xtask fuzz`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    packages: packages::Policy,
    /// The target; without one they are listed.
    target: Option<String>,
    /// Ends after so many seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Ends after so many executions, however long they take.
    #[arg(long, conflicts_with = "seconds")]
    runs: Option<u64>,
    /// Ends with a failure when more memory is used, in MiB.
    #[arg(long, default_value_t = 256)]
    rss: u32,
    /// Adds the inputs that reach new code to the corpus in the tree afterwards.
    #[arg(long)]
    keep: bool,
}

/// Builds a target and runs it.
///
/// # Errors
/// An unknown target, a missing package, or it does not build. What a target finds is in the exit code.
pub fn main(arguments: Arguments) -> Result<ExitCode> {
    let Some(name) = &arguments.target else {
        TARGETS.iter().for_each(|(name, _)| println!("{name}"));
        return Ok(ExitCode::SUCCESS);
    };
    let Some((name, group)) = TARGETS.iter().find(|(known, _)| known == name) else {
        bail!("no target {name}; `cargo xtask fuzz` lists them");
    };
    arguments
        .packages
        .require(&[packages::BUILD, packages::FUZZ])?;
    let workspace = Workspace::locate()?;
    let program = build(&workspace, name, *group)?;
    let run = Run::prepare(&workspace, name, program)?;
    let success = run.fuzz(&arguments)?;
    if success && arguments.keep {
        run.keep()?;
    }
    Ok(if success {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Builds the program of a target with counters in the crates of its group.
fn build(workspace: &Workspace, name: &str, group: Group) -> Result<PathBuf> {
    let package = workspace.root.join("fuzz/libfuzzer");
    let target = workspace.scratch("fuzz").join(group.folder());
    let triple = process::output(Command::new("rustc").args(["--print", "host-tuple"]))?;
    let mut command = cargo();
    command
        .current_dir(&package)
        .args(["build", "--release", "--locked", "--bin", name])
        // With a target of its own, what runs during the build is told from what is tested.
        .args(["--target", triple.trim()])
        .args((group == Group::Daemon).then_some("--features=daemon"))
        .env("CARGO_TARGET_DIR", &target)
        .env("RUSTC_WRAPPER", package.join("instrument.sh"))
        .env("NORTHSTAR_FUZZ_CRATES", group.crates())
        .env_remove("RUSTFLAGS");
    process::run(&mut command)?;
    Ok(target.join(triple.trim()).join("release").join(name))
}

/// The folders of a run: libFuzzer leaves what fails in the first one.
struct Run {
    program: PathBuf,
    folder: PathBuf,
    /// What was found so far, in this and in earlier runs.
    found: PathBuf,
    /// The corpus in the tree.
    corpus: PathBuf,
}

impl Run {
    fn prepare(workspace: &Workspace, name: &str, program: PathBuf) -> Result<Run> {
        let folder = workspace.scratch("fuzz").join("runs").join(name);
        let found = folder.join("found");
        let seeds = folder.join("seeds");
        for folder in [&found, &seeds] {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let run = Run {
            program,
            found,
            corpus: workspace.root.join("fuzz/corpus").join(name),
            folder,
        };
        // It writes seeds and dictionary and ends.
        process::run_quietly(
            run.command()
                .env("NORTHSTAR_FUZZ_EXPORT", &seeds)
                .stderr(Stdio::null()),
        )?;
        Ok(run)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.folder);
        command
    }

    /// Runs libFuzzer, which says at its end how many executions there were and how much memory they took.
    fn fuzz(&self, arguments: &Arguments) -> Result<bool> {
        let seeds = self.folder.join("seeds");
        let mut command = self.command();
        command
            .args([&self.found, &self.corpus, &seeds])
            .arg(format!("-dict={}", seeds.join("dictionary").display()))
            .arg(format!("-rss_limit_mb={}", arguments.rss))
            // A machine that is busy lets a process of the lowest priority wait for a minute and more.
            .args(["-timeout=300", "-entropic=0", "-print_final_stats=1"])
            .arg(match arguments.runs {
                Some(runs) => format!("-runs={runs}"),
                None => format!("-max_total_time={}", arguments.seconds),
            });
        // The seeds folder holds the dictionary too, which is an input like any other.
        eprintln!("$ {}", process::display(&command));
        let success = command.status().context("cannot run the fuzzer")?.success();
        println!(
            "corpus: {} inputs found, {} in the tree",
            count(&self.found)?,
            count(&self.corpus)?
        );
        if !success {
            eprintln!("what failed is in {}", self.folder.display());
        }
        Ok(success)
    }

    /// Adds to the corpus in the tree what reaches code that it does not reach.
    fn keep(&self) -> Result<()> {
        let mut merge = self.command();
        merge
            .args(["-merge=1", "-use_counters=0"])
            .args([&self.corpus, &self.found]);
        process::run(&mut merge)
    }
}

fn count(folder: &Path) -> Result<usize> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    Ok(entries.count())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each target has a program and a corpus, and nothing else has.
    #[test]
    fn targets_are_those_in_the_tree() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
        let names = |folder: &str| {
            let entries = fs::read_dir(root.join(folder)).unwrap();
            let mut names: Vec<String> = entries
                .map(|entry| {
                    let path = entry.unwrap().path();
                    path.file_stem().unwrap().to_str().unwrap().to_owned()
                })
                .collect();
            names.sort();
            names
        };
        let mut listed: Vec<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        listed.sort();
        assert_eq!(names("libfuzzer/src/bin"), listed);
        assert_eq!(names("corpus"), listed);
    }
}
