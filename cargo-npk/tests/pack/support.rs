//! A crate to pack, and looks into the package.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use northstar_npk::squashfs::{self, Entry};
use northstar_npk::{Package, unpack};

pub(crate) const PROGRAM: &str =
    "fn main() { println!(\"hello from {}\", env!(\"CARGO_PKG_NAME\")); }\n";

pub(crate) const INLINE: &str = "manifest = { init = \"/bin/greet\", uid = 1000, gid = 1000, mounts = { \"/proc\" = { type = \"proc\" } } }\n";

/// A crate in a directory of its own.
pub(crate) struct Crate(pub(crate) tempfile::TempDir);

impl Crate {
    pub(crate) fn new(npk: &str) -> Crate {
        let this = Crate(tempfile::tempdir().unwrap());
        this.write("src/main.rs", PROGRAM);
        this.write(
            "Cargo.toml",
            &format!(
                "[package]\nname = \"greet\"\nversion = \"1.2.3\"\nedition = \"2021\"\n\
                 [features]\nloud = []\n[workspace]\n[package.metadata.npk]\n{npk}"
            ),
        );
        this
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The program as cargo calls it, and with the settings of this crate alone.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-npk"));
        command
            .current_dir(self.0.path())
            .env("CARGO_TARGET_DIR", self.path("built"))
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("CARGO_BUILD_TARGET")
            .env_remove("SOURCE_DATE_EPOCH")
            .args(["npk", "pack", "--offline"])
            .args(arguments);
        command
    }

    pub(crate) fn packs(&self, arguments: &[&str]) -> PathBuf {
        let (path, warnings) = self.packs_with_warnings(arguments);
        assert!(!warnings.contains("warning: "), "{warnings}");
        path
    }

    pub(crate) fn packs_with_warnings(&self, arguments: &[&str]) -> (PathBuf, String) {
        let output = self.command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let printed = String::from_utf8(output.stdout).unwrap();
        let path = printed.strip_suffix('\n').unwrap();
        assert_eq!(path.lines().count(), 1, "{path}");
        let warnings = String::from_utf8(output.stderr).unwrap();
        (self.path(path), warnings)
    }

    /// The reason of a call that fails.
    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
        let output: Output = self.command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(output.stdout, b"");
        String::from_utf8(output.stderr).unwrap()
    }
}

pub(crate) fn open(npk: &Path) -> (File, Package) {
    let file = File::open(npk).unwrap();
    let package = Package::open(&file, None).unwrap();
    (file, package)
}

pub(crate) fn list(npk: &Path) -> Vec<Entry> {
    let (file, package) = open(npk);
    squashfs::list(&file, package.image()).unwrap()
}

pub(crate) fn find<'a>(entries: &'a [Entry], path: &str) -> Option<&'a Entry> {
    entries.iter().find(|entry| entry.path == Path::new(path))
}

/// Runs the program of a package with its image as root directory, in namespaces of its own.
pub(crate) fn start(directory: &Crate, npk: &Path, program: &str) -> String {
    let unpacked = directory.path("unpacked");
    let (file, package) = open(npk);
    unpack::unpack(&file, &package, &unpacked).unwrap();
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--mount", "chroot"])
        .arg(unpacked.join("root"))
        .arg(program)
        .env_clear()
        .env("PATH", env::var_os("PATH").unwrap());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    fs::remove_dir_all(&unpacked).unwrap();
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn host() -> String {
    let output = Command::new("rustc").arg("-vV").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("host: "));
    line.unwrap().to_owned()
}
