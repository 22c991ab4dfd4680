//! As a user calls it.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{Crate, start};

/// As a user runs it: through cargo, which finds it in PATH.
#[test]
fn cargo_finds_its_subcommand() {
    let program = Path::new(env!("CARGO_BIN_EXE_cargo-npk"));
    let mut path = program.parent().unwrap().as_os_str().to_owned();
    path.push(":");
    path.push(env::var_os("PATH").unwrap());
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&cargo);
        command
            .env("PATH", &path)
            .arg("npk")
            .args(arguments)
            .output()
            .unwrap()
    };
    let version = format!("cargo-npk {}\n", env!("CARGO_PKG_VERSION"));
    for arguments in [["--version"], ["version"]] {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(printed.ends_with(&version[6..]), "{printed}");
    }
    let output = run(&["pack", "--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("--lib-dir")
    );
    assert_eq!(
        run(&["pack", "--release", "--profile", "dev"])
            .status
            .code(),
        Some(2)
    );
    assert_eq!(run(&[]).status.code(), Some(2));
}

/// Everything between "```sh npk" and "```" of the page about packages.
#[test]
fn the_commands_of_the_page_about_packages_work() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/packages.md");
    let page = fs::read_to_string(page).unwrap();
    let script: Vec<&str> = page
        .lines()
        .skip_while(|line| *line != "```sh npk")
        .skip(1)
        .take_while(|line| *line != "```")
        .collect();
    let script = script.join("\n");
    assert!(script.contains("cargo npk pack"), "{script}");
    let this = Crate(tempfile::tempdir().unwrap());
    let program = Path::new(env!("CARGO_BIN_EXE_cargo-npk"));
    let mut path = program.parent().unwrap().as_os_str().to_owned();
    path.push(":");
    path.push(env::var_os("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir(this.path(""))
        .env("PATH", path)
        .env("CARGO_TARGET_DIR", this.path("built"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let npk = this.path("greet/greet.npk");
    assert_eq!(start(&this, &npk, "/bin/greet"), "Hello, world!\n");
}
