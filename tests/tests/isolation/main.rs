//! What a container sees and may do is what its manifest says, and what cannot be given stops the start.

mod bounds;
mod mounts;
mod refused;
mod rights;

use northstar_tests::{Daemon, Package, Site};
use serde_json::{Value, json};

/// Runs a container to its end and returns what it wrote.
fn run(package: &Package) -> Vec<String> {
    let site = Site::new();
    site.pack(package);
    let daemon = site.start();
    let output = run_on(&daemon, &package.container());
    daemon.stop();
    output
}

fn run_on(daemon: &Daemon, container: &str) -> Vec<String> {
    let mut console = daemon.console();
    console.start_ok(container);
    assert_eq!(
        console.expect_exit(container),
        json!({"exit": {"code": 0}}),
        "{}",
        daemon.log()
    );
    daemon.complete_output(container)
}

/// The error text of a start that must fail while the container is set up.
fn start_failure(daemon: &Daemon, container: &str) -> String {
    let answer = daemon.console().start(container);
    let error = answer.pointer("/start/error/error/start_container_failed/error");
    error
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("start answered {answer}"))
        .to_owned()
}
