//! Configurations that are taken, and those that are refused.

mod consoles;
mod refusals;
mod tls;
mod values;

use super::*;
use northstar_manifest::{Permission, Permissions};
use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

/// The example of the documentation, as it stands.
const EXAMPLE: &str = r#"console = ["tcp://localhost:4200"]
run_dir = "target/northstar/run"
data_dir = "target/northstar/data"
log_dir = "target/northstar/logs"
mount_parallel = 10
cgroup = "northstar"

[debug.strace]
output = "log"               # or "file": log_dir/strace-<PID>-<name>.log
flags = "-f -s 256"
path = "/bin/strace"
include_runtime = true       # the runtime's own calls before execve too

[debug.perf]
path = "/bin/perf"
flags = ""

[repositories.memory]
key = "examples/northstar.pub"
type = "mem"

[repositories.default]
key = "examples/northstar.pub"
type = { fs = { dir = "target/northstar/repository" } }
"#;

/// The least a configuration needs, with `head` before its first table.
fn minimal(head: &str) -> String {
    format!("{head}\nrun_dir = \"run\"\ndata_dir = \"data\"\n")
}

fn parse(text: &str) -> Config {
    match Config::parse(text) {
        Ok(config) => config,
        Err(error) => panic!("{text}\n{error}: {:?}", std::error::Error::source(&error)),
    }
}

/// The key and the value error of a configuration that must be refused.
fn refused(text: &str) -> (String, ValueError) {
    match Config::parse(text) {
        Err(ConfigError::Value { key, source }) => (key, source),
        other => panic!("{text}\n{other:?}"),
    }
}

/// The parser's message about a configuration that must be refused.
fn malformed(text: &str) -> String {
    match Config::parse(text) {
        Err(ConfigError::Syntax(error)) => error.to_string(),
        other => panic!("{text}\n{other:?}"),
    }
}

fn console(config: &Config) -> &Listener {
    assert_eq!(config.console.len(), 1);
    &config.console[0]
}

/// A console over TLS with everything it needs, and one more key.
fn tls_console(more: &str) -> String {
    let needed = r#"url = "tls://0.0.0.0:4200", cert = "c", key = "k", client_ca = "a""#;
    minimal(&format!("console = [{{ {needed}{more} }}]"))
}
