//! The agent between a real broker and a real daemon. Needs root, loop devices and mosquitto.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod authority;
mod mosquitto;
mod observer;
mod state;
mod tls;

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use mosquitto::Broker;
use northstar_tests::{Daemon, Package, Site};
use serde_json::{Value, json};

const ID: &str = "ecu-7";

/// Largest message in bytes.
const LARGEST: usize = 1024 * 1024;

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn agent(site: &Site, daemon: &Daemon, broker: &Broker, packages: &Path) -> Running {
    let url = format!("mqtt://127.0.0.1:{}", broker.port);
    agent_with(site, daemon, packages, &["--broker", &url])
}

fn agent_with(site: &Site, daemon: &Daemon, packages: &Path, options: &[&str]) -> Running {
    let child = Command::new(env!("CARGO_BIN_EXE_fleet-agent"))
        .args(["--id", ID])
        .args(options)
        .arg("--daemon")
        .arg(daemon.url())
        .arg("--packages")
        .arg(packages)
        .arg("--position")
        .arg(site.path().join("position"))
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    Running(child)
}

/// Packs a container, and the element of a desired state that asks for it.
fn packed(
    site: &Site,
    packages: &Path,
    name: &str,
    version: &str,
    arguments: &[&str],
) -> impl Fn(&str) -> Value + use<> {
    let package = Package::app(name, arguments).version(version);
    let package = package.pack(packages, Some(&site.key()));
    let package = package.file_name().unwrap().to_str().unwrap().to_owned();
    let container = format!("{name}:{version}");
    move |state| json!({"container": container, "state": state, "package": package})
}
