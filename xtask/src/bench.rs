//! `cargo xtask bench`: builds what is measured with the release profile, packs what it needs, and runs
//! `northstar-bench`, in the virtual machine unless told otherwise.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    build::Programs,
    demo, examples, packages, process,
    vm::{self, Guest, Request},
    workspace::Workspace,
};

/// Options of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    packages: packages::Policy,
    /// Measure on this machine, as root, instead of in the virtual machine.
    #[arg(long)]
    host: bool,
    /// Number of starts.
    #[arg(long, default_value_t = 100)]
    starts: usize,
    /// Measure only this.
    #[arg(long)]
    only: Option<Part>,
    /// Number of launches.
    #[arg(long, default_value_t = 5)]
    launches: usize,
    /// Number of packages that are mounted.
    #[arg(long, default_value_t = 100)]
    count: usize,
    /// File that receives every value; without it bench.json below the target directory.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Packing, hash trees and loading, always on this machine.
    Pack,
    /// Starts and mounts.
    Daemon,
    /// Requests, installs and hostile clients, always on this machine, as root.
    Console,
}

/// Measures and prints tables.
///
/// # Errors
/// Something does not build, boot, mount or start.
pub fn main(arguments: Arguments) -> Result<ExitCode> {
    let virtual_machine = if arguments.host { &[] } else { packages::VM };
    arguments
        .packages
        .require(&[packages::BUILD, packages::TEST, virtual_machine])?;
    let workspace = Workspace::locate()?;
    let all = arguments.only.is_none();
    if all || arguments.only == Some(Part::Pack) {
        pack(&workspace)?;
    }
    if all || arguments.only == Some(Part::Console) {
        console(&workspace)?;
    }
    if all || arguments.only == Some(Part::Daemon) {
        return daemon(&workspace, arguments);
    }
    Ok(ExitCode::SUCCESS)
}

/// The console needs no kernel of its own either.
fn console(workspace: &Workspace) -> Result<()> {
    let scratch = workspace.scratch("bench");
    fs::create_dir_all(&scratch).with_context(|| format!("cannot create {}", scratch.display()))?;
    let programs = Programs::build(workspace, &["northstar-runtime", "northstar-bench"], true)?;
    let json = scratch.join("console.json");
    let mut command = process::privileged(programs.path("northstar-bench")?)?;
    command.arg("console").arg("--scratch").arg(&scratch);
    command.arg("--northstar").arg(programs.path("northstar")?);
    command.arg("--json").arg(&json);
    process::run(&mut command)?;
    println!("\nevery value is in {}\n", json.display());
    Ok(())
}

/// Packing needs neither root nor a kernel of its own, and an emulated processor would measure the emulation.
fn pack(workspace: &Workspace) -> Result<()> {
    let scratch = workspace.scratch("bench");
    fs::create_dir_all(&scratch).with_context(|| format!("cannot create {}", scratch.display()))?;
    let programs = Programs::build(workspace, &["northstar-bench"], true)?;
    let json = scratch.join("pack.json");
    let mut command = programs.command("northstar-bench")?;
    command.arg("pack").arg("--scratch").arg(&scratch);
    command.arg("--json").arg(&json);
    process::run(&mut command)?;
    println!("\nevery value is in {}\n", json.display());
    Ok(())
}

/// Starts and mounts.
fn daemon(workspace: &Workspace, arguments: Arguments) -> Result<ExitCode> {
    let scratch = workspace.scratch("bench");
    let programs = Programs::build(
        workspace,
        &["northstar-runtime", "northstar-bench", "sextant"],
        true,
    )?;
    let noop = Programs::build_static(workspace, &["noop".to_owned()])?;
    let start_repository = scratch.join("start");
    examples::pack(workspace, &["noop".to_owned()], &start_repository)?;
    let mount_repository = scratch.join(format!("mount-{}", arguments.count));
    pack_many(
        workspace,
        &programs,
        noop.path("noop")?,
        arguments.count,
        &mount_repository,
    )?;

    let json = arguments.json.unwrap_or_else(|| scratch.join("bench.json"));
    let command = |mut command: Command, integrity: &str, json: &Path| {
        command.arg("daemon");
        command.arg("--northstar").arg(programs.path("northstar")?);
        command.arg("--noop").arg(noop.path("noop")?);
        command.arg("--start-repository").arg(&start_repository);
        command.arg("--mount-repository").arg(&mount_repository);
        command
            .arg("--key")
            .arg(workspace.root.join(examples::PUBLIC_KEY));
        command.args(["--integrity", integrity]);
        command.args(["--starts", &arguments.starts.to_string()]);
        command.args(["--launches", &arguments.launches.to_string()]);
        command.arg("--json").arg(json);
        anyhow::Ok(command)
    };
    let program = programs.path("northstar-bench")?;
    if arguments.host {
        let integrity = demo::integrity();
        process::run(&mut command(
            process::privileged(program)?,
            integrity,
            &json,
        )?)?;
    } else {
        let results = scratch.join("results");
        let mut guest = Guest::prepare(workspace)?;
        guest.timeout = Duration::from_secs(3600);
        guest.out = Some(results.clone());
        let inside = Path::new(vm::OUT).join("bench.json");
        let request = Request::of(&command(Command::new(program), "dm-verity", &inside)?)?;
        let code = guest.run(&request, &mut io::stdout(), &mut io::stderr())?;
        if code != 0 {
            return Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)));
        }
        fs::copy(results.join("bench.json"), &json)
            .with_context(|| format!("cannot write {}", json.display()))?;
    }
    println!("\nevery value is in {}", json.display());
    Ok(ExitCode::SUCCESS)
}

/// Packs small signed packages that differ in their names alone, once.
fn pack_many(
    workspace: &Workspace,
    programs: &Programs,
    program: &Path,
    count: usize,
    out: &Path,
) -> Result<()> {
    if out.exists() {
        fs::remove_dir_all(out)?;
    }
    fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let staging = tempfile::tempdir()?;
    let root = staging.path().join("root");
    fs::create_dir(&root)?;
    fs::copy(program, root.join("noop"))?;
    let manifest = staging.path().join("manifest.yaml");
    for number in 0..count {
        let text =
            format!("name: bench-{number:04}\nversion: 0.0.1\ninit: /noop\nuid: 1000\ngid: 1000\n");
        fs::write(&manifest, text)?;
        let mut sextant = programs.command("sextant")?;
        sextant
            .arg("pack")
            .arg("--manifest-path")
            .arg(&manifest)
            .arg("--root")
            .arg(&root);
        sextant
            .arg("--key")
            .arg(workspace.root.join(examples::KEY))
            .arg("--out")
            .arg(out);
        process::output(&mut sextant)?;
    }
    eprintln!("packed {count} packages into {}", out.display());
    Ok(())
}
