//! `cargo npk pack` on small crates, with the cargo of this machine.

#![cfg(test)]

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use northstar_npk::key::{PublicKey, SecretKey};
use northstar_npk::squashfs::{self, Entry, EntryKind};
use northstar_npk::{Package, unpack};

const PROGRAM: &str = "fn main() { println!(\"hello from {}\", env!(\"CARGO_PKG_NAME\")); }\n";

const INLINE: &str = "manifest = { init = \"/bin/greet\", uid = 1000, gid = 1000, mounts = { \"/proc\" = { type = \"proc\" } } }\n";

/// A crate in a directory of its own.
struct Crate(tempfile::TempDir);

impl Crate {
    fn new(npk: &str) -> Crate {
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

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The program as cargo calls it, and with the settings of this crate alone.
    fn command(&self, arguments: &[&str]) -> Command {
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

    fn packs(&self, arguments: &[&str]) -> PathBuf {
        let (path, warnings) = self.packs_with_warnings(arguments);
        assert!(!warnings.contains("warning: "), "{warnings}");
        path
    }

    fn packs_with_warnings(&self, arguments: &[&str]) -> (PathBuf, String) {
        let output = self.command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let printed = String::from_utf8(output.stdout).unwrap();
        let path = printed.strip_suffix('\n').unwrap();
        assert_eq!(path.lines().count(), 1, "{path}");
        let warnings = String::from_utf8(output.stderr).unwrap();
        (self.path(path), warnings)
    }

    /// The reason of a call that fails.
    fn refused(&self, arguments: &[&str]) -> String {
        let output: Output = self.command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(output.stdout, b"");
        String::from_utf8(output.stderr).unwrap()
    }
}

fn open(npk: &Path) -> (File, Package) {
    let file = File::open(npk).unwrap();
    let package = Package::open(&file, None).unwrap();
    (file, package)
}

fn list(npk: &Path) -> Vec<Entry> {
    let (file, package) = open(npk);
    squashfs::list(&file, package.image()).unwrap()
}

fn find<'a>(entries: &'a [Entry], path: &str) -> Option<&'a Entry> {
    entries.iter().find(|entry| entry.path == Path::new(path))
}

/// Runs the program of a package with its image as root directory, in namespaces of its own.
fn start(directory: &Crate, npk: &Path, program: &str) -> String {
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

fn host() -> String {
    let output = Command::new("rustc").arg("-vV").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("host: "));
    line.unwrap().to_owned()
}

#[test]
fn a_static_program_is_built_packed_and_starts() {
    let this = Crate::new(INLINE);
    let target = host();
    this.write(
        ".cargo/config.toml",
        &format!("[target.{target}]\nrustflags = [\"-C\", \"target-feature=+crt-static\"]\n"),
    );
    let npk = this.packs(&["--target", &target, "--release"]);
    assert_eq!(npk, this.path("built/npk/greet-1.2.3.npk"));
    let (_, package) = open(&npk);
    assert_eq!(package.container().to_string(), "greet:1.2.3");
    assert!(package.hashes().is_none());
    let entries = list(&npk);
    let program = find(&entries, "/bin/greet").unwrap();
    assert_eq!((program.mode, program.uid), (0o755, 1000));
    assert!(find(&entries, "/proc").is_some());
    assert!(find(&entries, "/lib").is_none());
    assert_eq!(start(&this, &npk, "/bin/greet"), "hello from greet\n");
    // It was built with the profile that was asked for, and for the target.
    assert!(
        this.path(&format!("built/{target}/release/greet"))
            .is_file()
    );
    // Nothing is left of the content.
    let left = fs::read_dir(this.path("built")).unwrap();
    let left = left.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with(".npk-root-")
    });
    assert_eq!(left.count(), 0);
}

#[test]
fn a_dynamic_program_starts_with_the_libraries_that_came_along() {
    let this = Crate::new(&format!("{INLINE}libs = true\n"));
    let npk = this.packs(&[]);
    let entries = list(&npk);
    assert!(find(&entries, "/lib/libc.so.6").is_some());
    assert_eq!(start(&this, &npk, "/bin/greet"), "hello from greet\n");

    // Without them it does not, and that is said before.
    let (npk, warnings) = {
        this.write(
            "Cargo.toml",
            &fs::read_to_string(this.path("Cargo.toml"))
                .unwrap()
                .replace("libs = true\n", ""),
        );
        this.packs_with_warnings(&[])
    };
    assert!(warnings.contains("--libs"), "{warnings}");
    assert!(find(&list(&npk), "/lib").is_none());
    // The command line asks for them, too.
    assert!(find(&list(&this.packs(&["--libs"])), "/lib/libc.so.6").is_some());
}

/// The standard library as a dynamic library is nowhere where a loader looks.
#[test]
fn libraries_are_found_in_directories_that_are_named() {
    let this = Crate::new(INLINE);
    this.write(
        ".cargo/config.toml",
        "[build]\nrustflags = [\"-C\", \"prefer-dynamic\"]\n",
    );
    let reason = this.refused(&["--libs"]);
    assert!(
        reason.contains("libstd") && reason.contains("--lib-dir"),
        "{reason}"
    );
    let output = Command::new("rustc")
        .args(["--print", "target-libdir"])
        .output()
        .unwrap();
    let directory = String::from_utf8(output.stdout).unwrap();
    let npk = this.packs(&["--libs", "--lib-dir", directory.trim()]);
    let is_std = |entry: &Entry| entry.path.to_string_lossy().starts_with("/lib/libstd-");
    assert!(list(&npk).iter().any(is_std));
    assert_eq!(start(&this, &npk, "/bin/greet"), "hello from greet\n");
}

#[test]
fn everything_can_be_said_in_cargo_toml() {
    let this = Crate::new(
        "manifest = \"manifest.yaml\"\nroot = \"root\"\nfeatures = [\"loud\"]\nprofile = \"release\"\n\
         compression = \"zstd\"\nblock-size = 65536\nlibs = true\nkey = \"test.key\"\nout = \"out\"\n\
         sbom = \"sbom.json\"\n\
         assets = [{ source = \"app.toml\", target = \"/etc/app.toml\", mode = \"0600\" }, \
         { source = \"data\", target = \"/srv/data\" }]\n",
    );
    this.write(
        "src/main.rs",
        "fn main() { println!(\"{}\", cfg!(feature = \"loud\")); }\n",
    );
    this.write(
        "manifest.yaml",
        "name: other\nversion: 0.0.7\ninit: /greet\nuid: 7\ngid: 8\n",
    );
    this.write("root/etc/motd", "welcome\n");
    std::os::unix::fs::symlink("motd", this.path("root/etc/link")).unwrap();
    fs::set_permissions(this.path("root/etc"), fs::Permissions::from_mode(0o711)).unwrap();
    this.write("app.toml", "[app]\n");
    this.write("data/a/b", "b\n");
    this.write("sbom.json", "{\"spdxVersion\": \"SPDX-2.3\"}");
    fs::create_dir(this.path("out")).unwrap();
    let key = SecretKey::generate().unwrap();
    let paths = key.write_pair(&this.path(""), "test").unwrap();

    let npk = this.packs(&[]);
    assert_eq!(npk, this.path("out/other-0.0.7.npk"));
    let public = PublicKey::read(&paths.public).unwrap();
    let file = File::open(&npk).unwrap();
    let package = Package::open(&file, Some(&public)).unwrap();
    assert!(
        package
            .manifest()
            .custom
            .as_ref()
            .unwrap()
            .get("sbom")
            .is_some()
    );
    let entries = list(&npk);
    let mode = |path: &str| find(&entries, path).unwrap().mode;
    assert_eq!(
        (mode("/etc"), mode("/etc/app.toml"), mode("/etc/motd")),
        (0o711, 0o600, 0o644)
    );
    assert_eq!(
        find(&entries, "/etc/link").unwrap().kind,
        EntryKind::Symlink {
            target: "motd".into()
        }
    );
    assert!(find(&entries, "/srv/data/a/b").is_some());
    assert!(find(&entries, "/sbom.spdx.json").is_some());
    assert_eq!(start(&this, &npk, "/greet"), "true\n");
    assert!(this.path("built/release/greet").is_file());

    // The command line goes before it.
    let npk = this.packs(&[
        "--out",
        "mine.npk",
        "--compression",
        "none",
        "--profile",
        "dev",
    ]);
    assert_eq!(npk, this.path("mine.npk"));
    assert!(this.path("built/debug/greet").is_file());
}

#[test]
fn a_target_has_settings_of_its_own() {
    let target = host();
    let this = Crate::new(&format!(
        "{INLINE}[package.metadata.npk.target.{target}]\nlibs = true\nroot = \"native\"\n\
         [package.metadata.npk.target.other]\nroot = \"missing\"\n"
    ));
    this.write("native/native", "");
    let npk = this.packs(&["--target", &target]);
    let entries = list(&npk);
    assert!(find(&entries, "/native").is_some() && find(&entries, "/lib/libc.so.6").is_some());
    let (npk, _) = this.packs_with_warnings(&[]);
    assert!(find(&list(&npk), "/native").is_none());
}

#[test]
fn what_is_wrong_is_said_with_a_way_out() {
    let cases = [
        ("", "manifest = "),
        ("manifest = \"missing.yaml\"\n", "missing.yaml"),
        ("manifest = { init = \"/a\", uid = 0, gid = 1 }\n", "`uid`"),
        ("manifest = { uid = 1, gid = 1 }\n", "init"),
        (
            "manifest = { init = \"/a/../b\", uid = 1, gid = 1 }\n",
            "/a/../b",
        ),
        (&format!("{INLINE}bin = \"other\"\n"), "no program other"),
        (&format!("{INLINE}libraries = true\n"), "libraries"),
        (&format!("{INLINE}compression = \"bzip2\"\n"), "bzip2"),
        (&format!("{INLINE}key = \"missing.key\"\n"), "missing.key"),
        (&format!("{INLINE}root = \"missing\"\n"), "missing"),
        (
            &format!("{INLINE}assets = [{{ source = \"Cargo.toml\", target = \"etc\" }}]\n"),
            "absolute",
        ),
        (
            &format!(
                "{INLINE}assets = [{{ source = \"Cargo.toml\", target = \"/etc\", mode = \"rw\" }}]\n"
            ),
            "octal",
        ),
        (
            &format!("{INLINE}assets = [{{ source = \"Cargo.toml\", target = \"/bin/greet\" }}]\n"),
            "already",
        ),
        (
            "libs = true\nmanifest = { init = \"/a\", uid = 1, gid = 1, mounts = { \"/lib\" = { type = \"persist\" } } }\n",
            "mounts something over it",
        ),
    ];
    let shared = tempfile::tempdir().unwrap();
    for (npk, says) in cases {
        let this = Crate::new(npk);
        let mut command = this.command(&["--out", "a.npk"]);
        let output = command
            .env("CARGO_TARGET_DIR", shared.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{npk}: {output:?}");
        let reason = String::from_utf8(output.stderr).unwrap();
        let error = reason.lines().find(|line| line.starts_with("error: "));
        assert!(
            error.is_some_and(|error| error.contains(says)),
            "{npk}: {reason}"
        );
        assert!(!this.path("a.npk").exists());
    }
    // What does not build is not packed; cargo says why.
    let this = Crate::new(INLINE);
    this.write("src/main.rs", "fn main() { undefined() }\n");
    let reason = this.refused(&["--out", "a.npk"]);
    assert!(
        reason.contains("undefined") && reason.contains("failed to build greet"),
        "{reason}"
    );
    this.write("src/bin/second.rs", "fn main() {}\n");
    let reason = this.refused(&[]);
    assert!(
        reason.contains("--bin") && reason.contains("second"),
        "{reason}"
    );
}

#[test]
fn the_same_crate_gives_the_same_package() {
    let this = Crate::new(&format!("{INLINE}libs = true\n"));
    let one = fs::read(this.packs(&["--out", "one.npk"])).unwrap();
    let two = fs::read(this.packs(&["--out", "two.npk"])).unwrap();
    assert!(one == two);
}

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
