//! The classic ways out of a container, each tried for real. docs/threats.md says where they come from.

mod daemon;
mod host;
mod image;
mod neighbours;

use northstar_tests::{Daemon, Package, Site};
use serde_json::json;

/// Runs a container to its good end and returns what it wrote.
fn run(daemon: &Daemon, container: &str) -> Vec<String> {
    let mut console = daemon.console();
    console.start_ok(container);
    let status = console.expect_exit(container);
    assert_eq!(status, json!({"exit": {"code": 0}}), "{}", daemon.log());
    daemon.complete_output(container)
}

/// Packs one package, runs it, and returns what it wrote.
fn run_alone(site: &Site, package: &Package) -> Vec<String> {
    site.pack(package);
    let daemon = site.start();
    let output = run(&daemon, &package.container());
    daemon.stop();
    output
}
