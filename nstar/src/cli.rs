//! What can be written on the command line.

use std::time::Duration;

use clap::{Parser, Subcommand};
use northstar_client::Endpoint;

use crate::verbs::{
    completion::Completion, inspect::Inspect, install::Install, kill::Kill, mount::Mount,
    notifications::Notifications, start::Start, umount::Umount, uninstall::Uninstall,
};

const AFTER_HELP: &str = "\
Containers:
  A CONTAINER is written NAME:VERSION, or NAME alone. NAME means
    for start and mount     the newest installed version
    for kill                the running version, or the newest
    for umount              the mounted version, or the newest
    for inspect             the running version, or the newest
    for uninstall           the only installed version

Exit codes:
  0  every answer was `ok`
  1  the request was refused or failed
  2  the command line is wrong
  3  no connection, or it was lost
  4  permission denied
  5  there is no such container
  6  no answer in time

Examples:
  nstar list
  nstar start hello-world
  nstar start hello-world:0.0.1 RUST_LOG=debug '<INIT>' --verbose
  nstar kill hello-world SIGKILL
  nstar --url unix:///run/northstar.sock install hello.npk default
  nstar --json inspect hello-world";

/// The heading of what every verb takes, apart from what only one does.
const COMMON: &str = "Common options";

/// Operate a Northstar daemon: install, mount, start, watch and stop containers.
#[derive(Debug, Parser)]
#[command(name = "nstar", version, after_help = AFTER_HELP, arg_required_else_help = true)]
pub struct Cli {
    /// Where the daemon is: tcp://HOST:PORT or unix:///PATH.
    #[arg(
        short,
        long,
        global = true,
        help_heading = COMMON,
        env = "NSTAR_URL",
        default_value = "tcp://localhost:4200",
        value_name = "URL"
    )]
    pub url: Endpoint,

    /// How long to wait for the connection and for each answer, such as 5s or 1min; for an install,
    /// how long without progress. Without it 10s for the connection, and any time for answers.
    #[arg(
        short,
        long,
        global = true,
        help_heading = COMMON,
        value_name = "DURATION",
        value_parser = humantime::parse_duration
    )]
    pub timeout: Option<Duration>,

    /// Print the JSON of each answer as it came, one line each. What nstar looks up on its own is not
    /// printed.
    #[arg(short, long, global = true, help_heading = COMMON)]
    pub json: bool,

    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List the installed containers and what they are doing.
    #[command(visible_alias = "ls")]
    List,
    /// List the repositories.
    #[command(visible_alias = "repos")]
    Repositories,
    /// Show the manifest and the state of a container.
    Inspect(Inspect),
    /// Mount containers without starting them.
    Mount(Mount),
    /// Unmount containers.
    Umount(Umount),
    /// Start a container.
    Start(Start),
    /// Send a signal to a container.
    Kill(Kill),
    /// Install a package.
    Install(Install),
    /// Remove a container from its repository.
    Uninstall(Uninstall),
    /// Print what happens, until interrupted.
    Notifications(Notifications),
    /// Print who the daemon takes this client for.
    Ident,
    /// Stop all containers and end the daemon.
    Shutdown,
    /// Print a completion script for a shell.
    Completion(Completion),
}
