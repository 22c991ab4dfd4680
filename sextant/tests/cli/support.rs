//! A directory to work in, and the program.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

pub(crate) const MANIFEST: &str = "\
name: hello
version: 1.2.3
init: /hello
uid: 1000
gid: 1000
mounts:
  /dev: {type: dev}
  /proc: {type: proc}
";

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../northstar-npk/tests/fixtures")
        .join(name)
}

pub(crate) struct Sextant(pub(crate) tempfile::TempDir);

impl Sextant {
    /// A directory with a manifest and a tree.
    pub(crate) fn new() -> Sextant {
        let sextant = Sextant(tempfile::tempdir().unwrap());
        fs::write(sextant.path("manifest.yaml"), MANIFEST).unwrap();
        fs::create_dir(sextant.path("root")).unwrap();
        fs::write(sextant.path("root/hello"), vec![b'h'; 10_000]).unwrap();
        fs::create_dir(sextant.path("out")).unwrap();
        sextant
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn command<I: AsRef<OsStr>>(&self, arguments: &[I]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sextant"));
        command
            .current_dir(self.0.path())
            .env_remove("SOURCE_DATE_EPOCH")
            .args(arguments);
        command
    }

    /// Runs a command that succeeds and returns what it prints.
    pub(crate) fn succeeds<I: AsRef<OsStr>>(&self, arguments: &[I]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that fails with code 1, prints no result and gives a reason.
    pub(crate) fn fails<I: AsRef<OsStr>>(&self, arguments: &[I]) -> Output {
        let output = self.command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(output.stdout, b"");
        assert!(output.stderr.starts_with(b"error: "), "{output:?}");
        output
    }

    /// Runs a command that fails as [`Sextant::fails`] says, and returns the reason.
    pub(crate) fn refused<I: AsRef<OsStr>>(&self, arguments: &[I]) -> String {
        String::from_utf8(self.fails(arguments).stderr).unwrap()
    }

    /// What `inspect --json` says about a package.
    pub(crate) fn inspect(&self, npk: &str, more: &[&str]) -> Value {
        let json = self.succeeds(&[&["inspect", "--json", npk], more].concat());
        assert_eq!(json.lines().count(), 1, "{json}");
        serde_json::from_str(&json).unwrap()
    }

    pub(crate) fn names(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(directory)).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    pub(crate) fn key(&self) {
        self.succeeds(&["gen-key", "--name", "test", "--out", "."]);
    }

    pub(crate) fn pack(&self, more: &[&str]) -> String {
        let fixed = ["pack", "--manifest-path", "manifest.yaml", "--root", "root"];
        self.succeeds(&[&fixed, more].concat())
    }
}
