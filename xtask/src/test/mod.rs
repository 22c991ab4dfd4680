//! `cargo xtask test`: the three tiers of tests.
//!
//! | tier | runs | needs |
//! |---|---|---|
//! | unit | unit tests, documentation tests, integration tests of the crates that need no privileges | nothing |
//! | host | integration tests of sandbox and runtime, and the end-to-end tests, on the host's kernel | root |
//! | vm | the sandbox's tests, every test named `vm_*`, the end-to-end tests and the documented quick start | QEMU |
//!
//! A tier that cannot run fails with the reason: nothing is skipped silently.

mod lane;
mod suite;
mod tally;
mod vm_tier;

use std::{fs, path::PathBuf, process::ExitCode, time::Instant};

use anyhow::{Context, Result, bail};

use crate::{build::Programs, examples, packages, process, workspace::Workspace};
use suite::{Privileges, Selection, Suite};
use tally::Tally;

/// The folders of the crates whose integration tests need root.
const PRIVILEGED: &[&str] = &[SANDBOX, "northstar-runtime", END_TO_END, "fleet-agent"];

/// The folder of the end-to-end tests, the crate northstar-tests.
const END_TO_END: &str = "tests";

/// The folder of the sandbox, whose tests depend on the kernel more than any other's.
const SANDBOX: &str = "northstar-sandbox";

/// The sandbox's file of tests that needs control groups of version 1.
const CGROUP_V1: &str = "cgroup_v1";

/// Tells the end-to-end tests where the programs are, so that they do not build them themselves.
const PROGRAMS_VARIABLE: &str = "NORTHSTAR_TEST_PROGRAMS";

/// Options of `cargo xtask test`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    packages: packages::Policy,
    /// Run only this tier; may be given more than once.
    #[arg(long = "tier", value_enum)]
    tiers: Vec<Tier>,
}

/// Where tests run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Tier {
    /// As any user.
    Unit,
    /// As root on the host's kernel.
    Host,
    /// In the virtual machine.
    Vm,
}

/// Builds everything once, then runs the tiers.
///
/// # Errors
/// A missing package, or the workspace does not build. Failed tests are in the exit code.
pub fn main(arguments: Arguments) -> Result<ExitCode> {
    let mut tiers = arguments.tiers;
    if tiers.is_empty() {
        tiers = vec![Tier::Unit, Tier::Host, Tier::Vm];
    }
    let virtual_machine = if tiers.contains(&Tier::Vm) {
        packages::VM
    } else {
        &[]
    };
    arguments
        .packages
        .require(&[packages::BUILD, packages::TEST, virtual_machine])?;

    let workspace = Workspace::locate()?;
    let suites = suite::build(&workspace)?;
    let mut total = Tally::default();
    for tier in tiers {
        let start = Instant::now();
        eprintln!("\n=== {tier:?} tier");
        let tally = match tier {
            Tier::Unit => unit(&workspace, &suites),
            Tier::Host => host(&workspace, &suites),
            Tier::Vm => vm_tier::run(&workspace, &suites),
        }
        .unwrap_or_else(|error| {
            eprintln!("=== {tier:?} tier cannot run: {error:#}");
            Tally::failure()
        });
        eprintln!(
            "=== {tier:?} tier: {tally}, {} s",
            start.elapsed().as_secs()
        );
        total += tally;
    }
    println!("{total}");
    Ok(if total.is_success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn unit(workspace: &Workspace, suites: &[Suite]) -> Result<Tally> {
    let mut tally = Tally::default();
    for suite in suites.iter().filter(|suite| !is_privileged(suite)) {
        tally += suite.run(Selection::Host, Privileges::AsIs)?;
    }
    tally += suite::documentation(workspace)?;
    Ok(tally)
}

fn host(workspace: &Workspace, suites: &[Suite]) -> Result<Tally> {
    if !process::is_root() && process::find("sudo").is_none() {
        bail!("it needs root, and there is no sudo on this machine");
    }
    let programs = programs(workspace)?;
    let mut tally = Tally::default();
    for suite in suites.iter().filter(|suite| is_privileged(suite)) {
        if suite.name() == CGROUP_V1 && !has_cgroup_v1()? {
            eprintln!(
                "\n--- {CGROUP_V1}: this machine has version 2 alone; the vm tier runs these"
            );
            continue;
        }
        tally += suite.run(
            Selection::Host,
            Privileges::Root {
                programs: &programs,
            },
        )?;
    }
    Ok(tally)
}

/// Whether control groups of version 1 are mounted: the third word of a line is the type of a mount (proc(5)).
fn has_cgroup_v1() -> Result<bool> {
    let mounts = fs::read_to_string("/proc/mounts").context("cannot read /proc/mounts")?;
    Ok(mounts
        .lines()
        .any(|line| line.split(' ').nth(2) == Some("cgroup")))
}

fn is_privileged(suite: &Suite) -> bool {
    suite.is_integration() && PRIVILEGED.contains(&suite.package())
}

/// Builds the programs of the end-to-end tests and gathers them in one folder.
fn programs(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.scratch("test").join("programs");
    Programs::build(workspace, &["northstar-runtime", "nstar", "sextant"], false)?
        .gather(&folder)?;
    let folder_of = |name: &str| workspace.root.join("examples").join(name);
    let example = |name: &str| examples::specification(&folder_of(name));
    let containers = ["console", "token-client", "token-server"].map(example);
    let mut containers = containers.to_vec();
    containers.push("test-container".to_owned());
    Programs::build_static(workspace, &containers)?.gather(&folder)?;
    Ok(folder)
}
