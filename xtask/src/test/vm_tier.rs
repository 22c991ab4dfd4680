//! The tier in the virtual machine. Everything is built on the host; the guest only runs it.

use std::{
    io,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{
    CGROUP_V1, END_TO_END, PROGRAMS_VARIABLE, SANDBOX, has_cgroup_v1,
    lane::Named,
    programs,
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
/// There are two lanes side by side, because an emulated processor keeps about one core busy: the end-to-end tests, which
/// take most of the time, and everything else. Each boots one guest after the other and tests one thing at a time.
///
/// # Errors
/// The guest cannot be prepared or booted, or something does not build.
pub fn run(workspace: &Workspace, suites: &[Suite]) -> Result<Tally> {
    let programs = programs(workspace)?;
    let mut guest = Guest::prepare(workspace)?;
    guest.timeout = Duration::from_secs(1800);
    // Before any guest runs: they look at the same files.
    build_quick_start(workspace)?;
    let lane = |name| Lane {
        name,
        guest: guest.clone(),
        programs: &programs,
    };
    thread::scope(|scope| {
        let end_to_end = scope.spawn(|| end_to_end(lane("end-to-end"), workspace));
        let mut tally = others(lane("others"), workspace, suites).unwrap_or_else(cannot_run);
        tally += match end_to_end.join() {
            Ok(result) => result.unwrap_or_else(cannot_run),
            Err(panic) => std::panic::resume_unwind(panic),
        };
        Ok(tally)
    })
}

/// What a lane that broke off counts as.
fn cannot_run(error: anyhow::Error) -> Tally {
    eprintln!("=== {error:#}");
    Tally::failure()
}

/// The sandbox's tests, the `vm_*` tests of the other crates, the quick start, and the end-to-end tests that need SELinux
/// in a boot of their own.
fn others(mut lane: Lane<'_>, workspace: &Workspace, suites: &[Suite]) -> Result<Tally> {
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
                lane.say(&format!(
                    "{CGROUP_V1}: the host tier runs these on this machine"
                ));
                continue;
            }
            lane.say(&suite.title());
            lane.guest.cgroups = if is_v1 { Cgroups::V1 } else { Cgroups::V2 };
            tally += lane.count(command.arg("--test-threads=1"))?;
        }
    }
    lane.guest.cgroups = Cgroups::V2;

    lane.say("quick start");
    let mut script = Command::new("sh");
    script.arg(QUICK_START).current_dir(&workspace.root);
    tally += match lane.run(&script, &mut lane.stdout())? {
        0 => Tally::success(),
        _ => Tally::failure(),
    };

    lane.guest.append = "security=selinux selinux=1".to_owned();
    for suite in suites.iter().filter(|suite| suite.name() == SELINUX) {
        if let Some(mut command) = suite.command(Selection::Vm) {
            lane.say(&suite.title());
            tally += lane.count(command.arg("--test-threads=1"))?;
        }
    }
    Ok(tally)
}

/// The end-to-end tests but those that need SELinux.
fn end_to_end(lane: Lane<'_>, workspace: &Workspace) -> Result<Tally> {
    lane.say("end-to-end tests");
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
    lane.count(tests.current_dir(&workspace.root))
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

/// One guest after the other.
struct Lane<'a> {
    name: &'static str,
    guest: Guest,
    programs: &'a Path,
}

impl Lane<'_> {
    fn say(&self, text: &str) {
        eprintln!("{} | --- {text}", self.name);
    }

    fn stdout(&self) -> Named<io::Stdout> {
        Named::new(self.name, io::stdout())
    }

    /// Runs a test runner in the guest and counts what it reports.
    fn count(&self, command: &Command) -> Result<Tally> {
        let mut counter = Counter::new(self.stdout());
        let code = self.run(command, &mut counter)?;
        Ok(counter.tally().with_status(code == 0))
    }

    /// Runs a command in the guest and returns its exit code.
    fn run(&self, command: &Command, stdout: &mut dyn io::Write) -> Result<i32> {
        let mut request = Request::of(command)?;
        // What the command itself sets, like the folder of the package that a test program is of.
        for (name, value) in command.get_envs() {
            if let (Some(name), Some(value)) = (name.to_str(), value) {
                request.set(name, value);
            }
        }
        request.set(PROGRAMS_VARIABLE, self.programs);
        let start = Instant::now();
        let mut stderr = Named::new(self.name, io::stderr());
        let code = self.guest.run(&request, stdout, &mut stderr)?;
        drop(stderr);
        eprintln!(
            "{} | ({} s in the virtual machine)",
            self.name,
            start.elapsed().as_secs()
        );
        Ok(code)
    }
}
