//! Having cargo build the program.

use std::env;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use cargo_metadata::Message;

use crate::cli;
use crate::settings::Settings;

/// Builds the program and returns where it is.
///
/// Whatever else decides about a build, such as `CARGO_TARGET_DIR`, `RUSTFLAGS` or `.cargo/config.toml`,
/// does so here as well: cargo inherits the environment.
pub(crate) fn compile(settings: &Settings, arguments: &cli::Pack) -> anyhow::Result<PathBuf> {
    let mut command = command(settings, arguments);
    let mut child = command.spawn().context("cargo cannot be started")?;
    let messages = child.stdout.take().context("cargo has no output")?;
    let mut executable = None;
    for message in Message::parse_stream(BufReader::new(messages)) {
        if let Message::CompilerArtifact(artifact) = message.context("cargo is not understood")? {
            let is_wanted = artifact.package_id == settings.package.id
                && artifact.target.is_bin()
                && artifact.target.name == settings.bin;
            if is_wanted {
                executable = artifact.executable;
            }
        }
    }
    let status = child.wait().context("cargo cannot be waited for")?;
    ensure!(status.success(), "cargo failed to build {}", settings.bin);
    let executable =
        executable.with_context(|| format!("cargo built no program {}", settings.bin))?;
    Ok(executable.into_std_path_buf())
}

fn command(settings: &Settings, arguments: &cli::Pack) -> Command {
    // Cargo tells its subcommands which cargo it is.
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--message-format", "json-render-diagnostics"])
        .arg("--manifest-path")
        .arg(&settings.cargo_toml)
        .args(["--bin", &settings.bin])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    for (option, value) in [
        ("--target", &settings.target),
        ("--profile", &settings.profile),
    ] {
        if let Some(value) = value {
            command.args([option, value]);
        }
    }
    if !settings.features.is_empty() {
        command.args(["--features", &settings.features.join(",")]);
    }
    for (flag, given) in [
        ("--no-default-features", settings.no_default_features),
        ("--locked", arguments.locked),
        ("--offline", arguments.offline),
    ] {
        command.args(given.then_some(flag));
    }
    command
}
