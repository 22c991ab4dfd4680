//! What is made from the definition of the command line, and what is printed for others to use.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

use crate::support::Sextant;

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

#[test]
fn the_man_pages_are_those_of_this_command_line() {
    let sextant = Sextant::new();
    sextant.succeeds(&["man", "--out", "out"]);
    let directory = docs().join("man");
    let update = env::var_os("UPDATE_DOCS").is_some();
    for name in sextant.names("out") {
        let page = fs::read_to_string(sextant.path("out").join(&name)).unwrap();
        let path = directory.join(&name);
        if update {
            fs::create_dir_all(&directory).unwrap();
            fs::write(&path, &page).unwrap();
        }
        let written = fs::read_to_string(&path).unwrap();
        assert_eq!(written, page, "{name}: set UPDATE_DOCS=1 to write it anew");
    }
    let pages: BTreeSet<String> = sextant.names("out").into_iter().collect();
    for entry in fs::read_dir(&directory).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_ours = name == "sextant.1" || name.starts_with("sextant-");
        assert!(!is_ours || pages.contains(&name), "{name} is of no command");
    }
}

/// Help, man page and program have the same options.
#[test]
fn every_option_is_in_its_man_page_and_its_help() {
    let sextant = Sextant::new();
    sextant.succeeds(&["man", "--out", "out"]);
    let command = sextant::command();
    for subcommand in command.get_subcommands() {
        let name = subcommand.get_name();
        let page = fs::read_to_string(sextant.path(&format!("out/sextant-{name}.1"))).unwrap();
        let page = page.replace("\\-", "-");
        let help = sextant.succeeds(&[name, "--help"]);
        for argument in subcommand
            .get_arguments()
            .filter(|argument| !argument.is_hide_set())
        {
            let word = match argument.get_long() {
                Some(long) => format!("--{long}"),
                None => argument.get_id().as_str().to_uppercase(),
            };
            assert!(help.contains(&word), "{name} --help lacks {word}");
            assert!(page.contains(&word), "sextant-{name}.1 lacks {word}");
        }
    }
}

#[test]
fn schema_prints_the_schema_of_the_documentation() {
    let printed = Sextant::new().succeeds(&["schema"]);
    let written = fs::read_to_string(docs().join("schema/manifest.schema.json")).unwrap();
    assert_eq!(printed, written);
}

#[test]
fn completions_know_every_command() {
    let sextant = Sextant::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = sextant.succeeds(&["completion", shell]);
        for command in sextant::command().get_subcommands() {
            assert!(script.contains(command.get_name()), "{shell}");
        }
    }
    let output = sextant.command(&["completion", "cmd"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

/// Everything between "```sh" and "```", in order.
fn commands(page: &str) -> String {
    let mut script = String::new();
    let mut inside = false;
    for line in page.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside => {
                script.push_str(line);
                script.push('\n');
            }
            _ => {}
        }
    }
    script
}

/// The page is one story, told in one directory.
#[test]
fn the_commands_of_the_page_about_packages_work() {
    let page = fs::read_to_string(docs().join("packages.md")).unwrap();
    let script = commands(&page);
    assert!(script.matches("sextant ").count() >= 20, "{script}");
    let directory = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_sextant"));
    let mut path = program.parent().unwrap().as_os_str().to_owned();
    path.push(":");
    path.push(env::var_os("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir(directory.path())
        .env("PATH", path)
        .env_remove("SOURCE_DATE_EPOCH")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // What the story ends with.
    let json = fs::read(directory.path().join("one.json")).unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["signers"][0]["verifies"], true);
    assert!(directory.path().join("man1/sextant-pack.1").is_file());
}
