//! The test programs of the workspace: built by cargo, listed, and run with a selection of their tests.

use std::{
    io::{self, Write},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

use super::{
    PROGRAMS_VARIABLE,
    tally::{Counter, Tally},
};
use crate::{
    build::{self, Executable},
    process,
    workspace::{Workspace, cargo},
};

/// How the name of a test begins that needs the virtual machine.
const VM_PREFIX: &str = "vm_";

/// Which tests of a program to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// Those that run on the host.
    Host,
    /// Those named `vm_*`.
    Vm,
    /// All.
    All,
}

/// As whom.
#[derive(Debug, Clone, Copy)]
pub enum Privileges<'a> {
    /// As the user who runs this.
    AsIs,
    /// As root and one test at a time: they look at what the whole machine has mounted and attached.
    Root {
        /// Folder of the programs under test.
        programs: &'a Path,
    },
}

/// One test program with the names of its tests.
#[derive(Debug)]
pub struct Suite {
    executable: Executable,
    tests: Vec<String>,
}

/// Builds all test programs and asks each for its tests.
///
/// # Errors
/// The workspace does not build, or a program does not list its tests.
pub fn build(workspace: &Workspace) -> Result<Vec<Suite>> {
    let mut command = cargo();
    command
        .current_dir(&workspace.root)
        .args(["test", "--workspace", "--no-run"]);
    let mut executables = build::executables(&mut command)?;
    executables.sort_by(|a, b| (&a.folder, &a.kind, &a.name).cmp(&(&b.folder, &b.kind, &b.name)));
    executables
        .into_iter()
        .filter(|executable| executable.is_test)
        .map(Suite::list)
        .collect()
}

/// Runs the documentation tests, which cargo builds one by one while it runs them.
///
/// # Errors
/// cargo cannot be started.
pub fn documentation(workspace: &Workspace) -> Result<Tally> {
    let mut command = cargo();
    command
        .current_dir(&workspace.root)
        .args(["test", "--workspace", "--doc", "--quiet"]);
    count(&mut command)
}

impl Suite {
    fn list(executable: Executable) -> Result<Self> {
        let mut command = Command::new(&executable.path);
        command
            .current_dir(&executable.folder)
            .args(["--list", "--format=terse"]);
        let tests = process::output(&mut command)?
            .lines()
            .filter_map(|line| line.strip_suffix(": test"))
            .map(str::to_owned)
            .collect();
        Ok(Self { executable, tests })
    }

    /// The folder of the package, which has the package's name except for the end-to-end tests.
    pub fn package(&self) -> &str {
        self.executable
            .folder
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
    }

    /// Whether this is a file of the package's `tests` folder.
    pub fn is_integration(&self) -> bool {
        self.executable.kind == "test"
    }

    /// The names of the selected tests, with their modules.
    fn selected(&self, selection: Selection) -> Vec<&str> {
        let wanted = |name: &&str| match selection {
            Selection::Host => !needs_vm(name),
            Selection::Vm => needs_vm(name),
            Selection::All => true,
        };
        self.tests
            .iter()
            .map(String::as_str)
            .filter(wanted)
            .collect()
    }

    /// The name of the file of tests.
    pub fn name(&self) -> &str {
        &self.executable.name
    }

    /// The command that runs the selected tests, or none if there is nothing to run.
    pub fn command(&self, selection: Selection) -> Option<Command> {
        let selected = self.selected(selection);
        if selected.is_empty() {
            return None;
        }
        let mut command = Command::new(&self.executable.path);
        command
            .arg("--exact")
            .args(selected)
            .current_dir(&self.executable.folder)
            // Cargo sets this one; tests may look for their files with it.
            .env("CARGO_MANIFEST_DIR", &self.executable.folder);
        Some(command)
    }

    /// Runs the selected tests on this machine.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn run(&self, selection: Selection, privileges: Privileges<'_>) -> Result<Tally> {
        let Some(plain) = self.command(selection) else {
            return Ok(Tally::default());
        };
        eprintln!("\n--- {}", self.title());
        let mut command = match privileges {
            Privileges::AsIs => plain,
            Privileges::Root { programs } => {
                let mut command = process::privileged("env")?;
                command
                    .arg(format!("{PROGRAMS_VARIABLE}={}", programs.display()))
                    .arg(plain.get_program())
                    .args(plain.get_args())
                    .arg("--test-threads=1")
                    .current_dir(&self.executable.folder)
                    .env("CARGO_MANIFEST_DIR", &self.executable.folder);
                command
            }
        };
        count(&mut command)
    }

    /// Whose tests these are.
    pub fn title(&self) -> String {
        let Executable { name, kind, .. } = &self.executable;
        format!("{} {kind} {name}", self.package())
    }
}

fn needs_vm(test: &str) -> bool {
    test.rsplit("::")
        .next()
        .unwrap_or(test)
        .starts_with(VM_PREFIX)
}

/// Runs a test runner, shows its output, and counts.
fn count(command: &mut Command) -> Result<Tally> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", process::display(command)))?;
    let mut counter = Counter::new(io::stdout());
    if let Some(mut stdout) = child.stdout.take() {
        io::copy(&mut stdout, &mut counter)?;
    }
    counter.flush()?;
    let status = child.wait()?;
    Ok(counter.tally().with_status(status.success()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_of_the_name_decides() {
        assert!(needs_vm("vm_mounts"));
        assert!(needs_vm("storage::tests::vm_mounts"));
        assert!(!needs_vm("vm_tier::counts"));
        assert!(!needs_vm("kvm_is_probed"));
    }
}
