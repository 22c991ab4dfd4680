//! The tier in the virtual machine. Everything is built on the host; the guest only runs it.

use std::{
    io,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{
    CGROUP_V1, END_TO_END, PROGRAMS_VARIABLE, SANDBOX, has_cgroup_v1, programs,
    suite::{Selection, Suite},
    tally::{Counter, Tally},
};
use crate::{
    process,
    vm::{Cgroups, Guest, Request},
    workspace::{Workspace, cargo},
};

/// The documented quick start, as it runs in the guest.
const QUICK_START: &str = "xtask/src/test/quickstart.sh";

/// The end-to-end tests that need a kernel with SELinux: a boot of their own.
const SELINUX: &str = "selinux";

/// How the names of those tests begin.
const SELINUX_PREFIX: &str = "vm_selinux_";

/// Runs the sandbox's tests, every `vm_*` test, the quick start and the end-to-end tests.
///
/// # Errors
/// The guest cannot be prepared or booted, or something does not build.
pub fn run(workspace: &Workspace, suites: &[Suite]) -> Result<Tally> {
    let programs = programs(workspace)?;
    let mut guest = Guest::prepare(workspace)?;
    guest.timeout = Duration::from_secs(1500);
    let mut tally = Tally::default();

    for suite in suites.iter().filter(|suite| suite.package() != END_TO_END) {
        let is_sandbox = suite.package() == SANDBOX && suite.is_integration();
        let selection = if is_sandbox {
            Selection::All
        } else {
            Selection::Vm
        };
        if let Some(mut command) = suite.command(selection) {
            let is_v1 = suite.name() == CGROUP_V1;
            if is_v1 && has_cgroup_v1()? {
                eprintln!("\n--- {CGROUP_V1}: the host tier runs these on this machine");
                continue;
            }
            suite.announce();
            guest.cgroups = if is_v1 { Cgroups::V1 } else { Cgroups::V2 };
            tally += count(&guest, command.arg("--test-threads=1"), &programs)?;
        }
    }
    guest.cgroups = Cgroups::V2;

    eprintln!("\n--- quick start");
    build_quick_start(workspace)?;
    let mut script = Command::new("sh");
    script.arg(QUICK_START).current_dir(&workspace.root);
    let code = in_guest(&guest, &script, &programs, &mut io::stdout())?;
    tally += if code == 0 {
        Tally::success()
    } else {
        Tally::failure()
    };

    eprintln!("\n--- end-to-end tests");
    // The documented command as it stands, with cargo in the guest: it finds everything up to date.
    let mut tests = cargo();
    tests.args([
        "test",
        "--package",
        "northstar-tests",
        "--no-fail-fast",
        "--",
        "--test-threads=1",
        "--skip",
        SELINUX_PREFIX,
    ]);
    tally += count(&guest, tests.current_dir(&workspace.root), &programs)?;

    guest.append = "security=selinux selinux=1".to_owned();
    for suite in suites.iter().filter(|suite| suite.name() == SELINUX) {
        if let Some(mut command) = suite.command(Selection::Vm) {
            suite.announce();
            tally += count(&guest, command.arg("--test-threads=1"), &programs)?;
        }
    }
    Ok(tally)
}

/// The steps of the quick start that build. The rest is in the script, which runs in the guest.
fn build_quick_start(workspace: &Workspace) -> Result<()> {
    let mut pack = Command::new("./examples/build_examples.sh");
    process::run(pack.current_dir(&workspace.root))?;
    for build in [
        &["build", "--bin", "northstar"][..],
        &["build", "--release", "--bin", "nstar"],
        &["test", "--package", "northstar-tests", "--no-run"],
    ] {
        process::run(cargo().args(build).current_dir(&workspace.root))?;
    }
    Ok(())
}

/// Runs a test runner in the guest and counts what it reports.
fn count(guest: &Guest, command: &Command, programs: &Path) -> Result<Tally> {
    let mut counter = Counter::new(io::stdout());
    let code = in_guest(guest, command, programs, &mut counter)?;
    Ok(counter.tally().with_status(code == 0))
}

fn in_guest(
    guest: &Guest,
    command: &Command,
    programs: &Path,
    stdout: &mut dyn io::Write,
) -> Result<i32> {
    let mut request = Request::of(command)?;
    // What the command itself sets, like the folder of the package that a test program is of.
    for (name, value) in command.get_envs() {
        if let (Some(name), Some(value)) = (name.to_str(), value) {
            request.set(name, value);
        }
    }
    request.set(PROGRAMS_VARIABLE, programs);
    let start = Instant::now();
    let code = guest.run(&request, stdout, &mut io::stderr())?;
    eprintln!("({} s in the virtual machine)", start.elapsed().as_secs());
    Ok(code)
}
