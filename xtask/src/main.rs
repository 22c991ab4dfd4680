//! `cargo xtask`: everything a developer or a CI machine does with this workspace beyond plain cargo.
//!
//! Every task is one file or folder. `workspace` knows where things are, `process` runs programs,
//! `packages` sees that the Debian packages a task needs are there. Nothing in here links against the
//! daemon, so that xtask builds on a machine which still lacks the daemon's build packages.

mod bench;
mod build;
mod check;
mod demo;
mod examples;
mod fuzz;
mod packages;
mod process;
mod test;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks around the Northstar workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measure the start of containers and the mounting of packages.
    Bench(bench::Arguments),
    /// Check format, lints, documentation, unsafe code, scripts and dependencies.
    Check(check::Arguments),
    /// Show the whole way of a package: build, pack, sign, start, kill, tamper, shut down.
    Demo(demo::Arguments),
    /// The part of `demo` that needs root.
    #[command(hide = true)]
    DemoShow(demo::Stage),
    /// Build, pack and sign the examples.
    Examples(examples::Arguments),
    /// Run a fuzz target for a while; without a name, list them.
    Fuzz(fuzz::Arguments),
    /// Run the tests: unit, host and virtual machine.
    Test(test::Arguments),
    /// Run a command in a virtual machine with device mapper and cgroup v2.
    Vm(vm::Arguments),
    /// Run a command for `vm`; called inside the guest.
    #[command(hide = true)]
    VmAgent,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Bench(arguments) => bench::main(arguments),
        Task::Check(arguments) => check::main(arguments),
        Task::Demo(arguments) => demo::main(arguments),
        Task::DemoShow(stage) => demo::show(stage),
        Task::Examples(arguments) => examples::main(arguments),
        Task::Fuzz(arguments) => fuzz::main(arguments),
        Task::Test(arguments) => test::main(arguments),
        Task::Vm(arguments) => vm::main(arguments),
        Task::VmAgent => vm::agent::main(),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}
