//! `cargo xtask demo`: the whole way of a package, shown with real commands on real output.
//!
//! The demonstration has two halves. This one builds and packs as whoever calls it; `show` runs as root, on this
//! machine or in the virtual machine, with what was built.

mod daemon;
mod lines;
mod show;
mod traces;

use std::{
    fs, io,
    path::PathBuf,
    process::{Command, ExitCode},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    build::Programs,
    examples, packages, process,
    vm::{Guest, Request},
    workspace::Workspace,
};

pub use show::{integrity, main as show};

/// Options of `cargo xtask demo`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    packages: packages::Policy,
    /// Run the daemon in the virtual machine, whose kernel has dm-verity.
    #[arg(long)]
    vm: bool,
}

/// What the second half needs.
#[derive(Debug, clap::Args)]
pub struct Stage {
    /// Folder of the programs northstar, nstar and sextant.
    programs: PathBuf,
    /// Folder of the signed packages.
    packages: PathBuf,
    /// Public key of the packages.
    key: PathBuf,
}

/// Builds, packs, and runs the demonstration.
///
/// # Errors
/// Anything that does not go as shown.
pub fn main(arguments: Arguments) -> Result<ExitCode> {
    let virtual_machine = if arguments.vm { packages::VM } else { &[] };
    arguments
        .packages
        .require(&[packages::BUILD, virtual_machine])?;
    let workspace = Workspace::locate()?;

    show::headline("Build the programs, pack and sign the examples");
    let stage = prepare(&workspace)?;
    let xtask = std::env::current_exe().context("cannot find the path of xtask itself")?;
    let mut command = if arguments.vm {
        Command::new(xtask)
    } else {
        process::privileged(xtask)?
    };
    command
        .arg("demo-show")
        .args([&stage.programs, &stage.packages, &stage.key]);
    if !arguments.vm {
        let status = command.status().context("cannot run the second half")?;
        return Ok(if status.success() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
    show::headline("Boot a virtual machine with dm-verity");
    let mut guest = Guest::prepare(&workspace)?;
    guest.timeout = Duration::from_secs(300);
    let request = Request::of(&command)?;
    let code = guest.run(&request, &mut io::stdout(), &mut io::stderr())?;
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
}

fn prepare(workspace: &Workspace) -> Result<Stage> {
    let scratch = workspace.scratch("demo");
    let stage = Stage {
        programs: scratch.join("programs"),
        packages: scratch.join("packages"),
        key: workspace.root.join(examples::PUBLIC_KEY),
    };
    let programs = Programs::build(workspace, &["northstar-runtime", "nstar", "sextant"], false)?;
    programs.gather(&stage.programs)?;
    // What an earlier demonstration packed may have another content by now.
    if stage.packages.exists() {
        fs::remove_dir_all(&stage.packages)?;
    }
    examples::pack(workspace, &[], &stage.packages)?;
    Ok(stage)
}
