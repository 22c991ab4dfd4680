//! The commands as they are called: exit codes, output, and what is left behind.

#![cfg(test)]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use northstar_npk::Package;
use northstar_npk::key::PublicKey;
use serde_json::Value;

const MANIFEST: &str = "\
name: hello
version: 1.2.3
init: /hello
uid: 1000
gid: 1000
mounts:
  /dev: {type: dev}
  /proc: {type: proc}
";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../northstar-npk/tests/fixtures")
        .join(name)
}

struct Sextant(tempfile::TempDir);

impl Sextant {
    /// A directory with a manifest and a tree.
    fn new() -> Sextant {
        let sextant = Sextant(tempfile::tempdir().unwrap());
        fs::write(sextant.path("manifest.yaml"), MANIFEST).unwrap();
        fs::create_dir(sextant.path("root")).unwrap();
        fs::write(sextant.path("root/hello"), vec![b'h'; 10_000]).unwrap();
        fs::create_dir(sextant.path("out")).unwrap();
        sextant
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command<I: AsRef<OsStr>>(&self, arguments: &[I]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sextant"));
        command
            .current_dir(self.0.path())
            .env_remove("SOURCE_DATE_EPOCH")
            .args(arguments);
        command
    }

    /// Runs a command that succeeds and returns what it prints.
    fn succeeds<I: AsRef<OsStr>>(&self, arguments: &[I]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that fails with code 1, prints no result and gives a reason.
    fn fails<I: AsRef<OsStr>>(&self, arguments: &[I]) -> Output {
        let output = self.command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(output.stdout, b"");
        assert!(output.stderr.starts_with(b"error: "), "{output:?}");
        output
    }

    fn names(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(directory)).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn key(&self) {
        self.succeeds(&["gen-key", "--name", "test", "--out", "."]);
    }

    fn pack(&self, more: &[&str]) -> String {
        let fixed = ["pack", "--manifest-path", "manifest.yaml", "--root", "root"];
        self.succeeds(&[&fixed, more].concat())
    }
}

#[test]
fn gen_key_writes_a_pair_and_never_overwrites_it() {
    let sextant = Sextant::new();
    let printed = sextant.succeeds(&["gen-key", "--name", "a", "--out", "out"]);
    assert_eq!(printed, "out/a.key\nout/a.pub\n");
    let mode = fs::metadata(sextant.path("out/a.key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o600);
    let before = fs::read(sextant.path("out/a.key")).unwrap();
    assert_eq!(before.len(), 32);
    sextant.fails(&["gen-key", "--name", "a", "--out", "out"]);
    assert_eq!(fs::read(sextant.path("out/a.key")).unwrap(), before);
    sextant.fails(&["gen-key", "--name", "a", "--out", "missing"]);
}

#[test]
fn packed_packages_verify_with_their_key_only() {
    let sextant = Sextant::new();
    sextant.key();
    sextant.succeeds(&["gen-key", "--name", "other", "--out", "."]);
    for compression in ["none", "gzip", "zstd"] {
        let options = [
            "--out",
            "out",
            "--key",
            "test.key",
            "--compression",
            compression,
        ];
        assert_eq!(sextant.pack(&options), "out/hello-1.2.3.npk\n");
        assert_eq!(sextant.names("out"), ["hello-1.2.3.npk"]);
        let verify = |key| ["verify", "out/hello-1.2.3.npk", "--key", key];
        sextant.succeeds(&verify("test.pub"));
        sextant.fails(&verify("other.pub"));
        sextant.fails(&verify("missing.pub"));
    }
    assert_eq!(sextant.pack(&["--out", "unsigned.npk"]), "unsigned.npk\n");
    sextant.fails(&["verify", "unsigned.npk", "--key", "test.pub"]);
}

/// Any 32 bytes are a seed: who signs with a public key signs with what everybody knows.
#[test]
fn the_halves_of_a_key_are_not_taken_for_each_other() {
    let sextant = Sextant::new();
    sextant.key();
    let refuse = |key: &str, word: &str| {
        let pack = ["pack", "--manifest-path", "manifest.yaml", "--out", "out"];
        let output = sextant.fails(&[&pack[..], &["--key", key]].concat());
        let reason = String::from_utf8(output.stderr).unwrap();
        assert!(reason.contains(key) && reason.contains(word), "{reason}");
        assert!(sextant.names("out").is_empty());
    };
    refuse("test.pub", "public key");
    fs::copy(sextant.path("test.pub"), sextant.path("mixed.key")).unwrap();
    fs::copy(sextant.path("test.pub"), sextant.path("mixed.pub")).unwrap();
    refuse("mixed.key", "mixed.pub");

    sextant.pack(&["--out", "a.npk", "--key", "test.key"]);
    let output = sextant.fails(&["verify", "a.npk", "--key", "test.key"]);
    let reason = String::from_utf8(output.stderr).unwrap();
    assert!(reason.contains("secret key"), "{reason}");
}

#[test]
fn without_a_root_there_are_just_the_mount_points() {
    let sextant = Sextant::new();
    sextant.succeeds(&["pack", "--manifest-path", "manifest.yaml", "--out", "out"]);
    let json = sextant.succeeds(&["inspect", "--json", "out/hello-1.2.3.npk"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let files = json["files"].as_array().unwrap();
    let directories: Vec<&str> = files
        .iter()
        .filter(|file| file["type"] == "directory")
        .map(|file| file["path"].as_str().unwrap())
        .collect();
    assert_eq!(directories, ["/", "/dev", "/proc"]);
    assert!(files.iter().all(|file| file["type"] != "file"));
}

#[test]
fn a_flipped_bit_anywhere_in_the_image_is_refused_by_verify() {
    let sextant = Sextant::new();
    sextant.key();
    sextant.pack(&[
        "--out",
        "a.npk",
        "--key",
        "test.key",
        "--compression",
        "none",
    ]);
    let bytes = fs::read(sextant.path("a.npk")).unwrap();
    let file = File::open(sextant.path("a.npk")).unwrap();
    let image = Package::open(&file, None).unwrap().image().clone();
    let tree = image.verity.unwrap().tree_offset_in_image;
    for at in [
        100,
        image.offset,
        image.offset + 5000,
        image.offset + image.squashfs_size,
        image.offset + tree,
        image.offset + image.size - 1,
        bytes.len() as u64 - 1,
    ] {
        let mut changed = bytes.clone();
        changed[at as usize] ^= 4;
        fs::write(sextant.path("b.npk"), &changed).unwrap();
        sextant.fails(&["verify", "b.npk", "--key", "test.pub"]);
    }
    for length in [0, 1000, bytes.len() - 1] {
        fs::write(sextant.path("b.npk"), &bytes[..length]).unwrap();
        sextant.fails(&["verify", "b.npk", "--key", "test.pub"]);
    }
}

#[test]
fn reference_packages_are_inspected_verified_and_unpacked() {
    let sextant = Sextant::new();
    let key = fixture("fixture.pub");
    for name in [
        "app-gzip",
        "resource-gzip",
        "resource-gzip-0.9.1",
        "resource-lzo",
        "resource-xz",
        "resource-zstd",
    ] {
        let npk = fixture(&format!("{name}.npk"));
        let verify: [&OsStr; 4] = [
            "verify".as_ref(),
            npk.as_ref(),
            "--key".as_ref(),
            key.as_ref(),
        ];
        sextant.succeeds(&verify);
        let text = sextant.succeeds(&["inspect".as_ref(), npk.as_os_str()]);
        assert!(text.contains("/hello"), "{text}");
        let unpack: [&OsStr; 4] = [
            "unpack".as_ref(),
            npk.as_ref(),
            "--out".as_ref(),
            name.as_ref(),
        ];
        sextant.succeeds(&unpack);
        assert_eq!(sextant.names(name), ["manifest.yaml", "root"]);
        // Once is enough.
        sextant.fails(&unpack);
    }
}

#[test]
fn inspect_prints_one_json_object() {
    let sextant = Sextant::new();
    let npk = fixture("app-gzip.npk");
    let json = sextant.succeeds(&["inspect".as_ref(), "--json".as_ref(), npk.as_os_str()]);
    assert_eq!(json.lines().count(), 1);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["container"], "fixture-app:0.0.1");
    assert_eq!(json["format_version"], "0.9.2");
    assert_eq!(json["signed"], true);
    assert_eq!(
        json["hashes"]["verity"],
        "84e0c60ae052e7c651558852040cad4ef8deec27ee74b7d0532479ddb2337189"
    );
    assert_eq!(json["image"]["squashfs_size"], 4096);
    assert_eq!(json["manifest"]["init"], "/hello");
    let files = json["files"].as_array().unwrap();
    let find = |path: &str| files.iter().find(|file| file["path"] == path).unwrap();
    assert_eq!(find("/hello")["size"], 8824);
    assert_eq!(find("/dev/null")["minor"], 3);
    assert_eq!(find("/dev/fd")["target"], "/proc/self/fd");

    let npk = fixture("resource-unsigned.npk");
    let json = sextant.succeeds(&["inspect".as_ref(), "--json".as_ref(), npk.as_os_str()]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["signed"], &json["hashes"]),
        (&Value::Bool(false), &Value::Null)
    );
}

#[test]
fn a_failed_pack_leaves_what_was_there() {
    let sextant = Sextant::new();
    sextant.pack(&["--out", "out"]);
    let before = fs::read(sextant.path("out/hello-1.2.3.npk")).unwrap();
    let pack = [
        "pack",
        "--manifest-path",
        "manifest.yaml",
        "--out",
        "out",
        "--root",
    ];
    sextant.fails(&[&pack[..], &["missing"]].concat());
    sextant.fails(&[&pack[..], &["root", "--key", "missing.key"]].concat());
    fs::write(sextant.path("manifest.yaml"), "name: hello\nunknown: 1\n").unwrap();
    sextant.fails(&[&pack[..], &["root"]].concat());
    assert_eq!(sextant.names("out"), ["hello-1.2.3.npk"]);
    assert_eq!(
        fs::read(sextant.path("out/hello-1.2.3.npk")).unwrap(),
        before
    );
}

#[test]
fn the_time_of_files_comes_from_the_environment() {
    let sextant = Sextant::new();
    let pack = ["pack", "--manifest-path", "manifest.yaml", "--out", "out"];
    let run = |epoch: &str| {
        let mut command = sextant.command(&pack);
        command.env("SOURCE_DATE_EPOCH", epoch).output().unwrap()
    };
    assert_eq!(run("1700000000").status.code(), Some(0));
    let json = sextant.succeeds(&["inspect", "--json", "out/hello-1.2.3.npk"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    for file in json["files"].as_array().unwrap() {
        assert_eq!(file["mtime"], 1_700_000_000, "{file}");
    }
    for wrong in ["", "-1", "tomorrow", "99999999999"] {
        assert_eq!(run(wrong).status.code(), Some(1), "{wrong}");
    }
}

#[test]
fn clones_are_numbered() {
    let sextant = Sextant::new();
    sextant.key();
    let printed = sextant.pack(&["--out", "out", "--key", "test.key", "--clones", "3"]);
    let expected = [
        "hello-0-1.2.3.npk",
        "hello-1-1.2.3.npk",
        "hello-2-1.2.3.npk",
    ];
    assert_eq!(sextant.names("out"), expected);
    assert_eq!(
        printed,
        expected.map(|name| format!("out/{name}\n")).concat()
    );
    let key = PublicKey::read(&sextant.path("test.pub")).unwrap();
    for (number, name) in expected.iter().enumerate() {
        let file = File::open(sextant.path("out").join(name)).unwrap();
        let package = Package::open(&file, Some(&key)).unwrap();
        assert_eq!(
            package.container().to_string(),
            format!("hello-{number}:1.2.3")
        );
    }
    let clones = ["--out", "file.npk", "--clones", "3"];
    let fixed = ["pack", "--manifest-path", "manifest.yaml"];
    sextant.fails(&[&fixed[..], &clones].concat());
}

#[test]
fn what_0_9_2_cannot_read_is_warned_of_and_packed() {
    let sextant = Sextant::new();
    let manifest = MANIFEST.replace("uid: 1000", "uid: 70000");
    fs::write(sextant.path("manifest.yaml"), manifest).unwrap();
    let pack = ["pack", "--manifest-path", "manifest.yaml", "--out", "out"];
    let output = sextant.command(&pack).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let warnings = String::from_utf8(output.stderr).unwrap();
    assert!(
        warnings.lines().count() == 1 && warnings.contains("`uid`"),
        "{warnings}"
    );
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let sextant = Sextant::new();
    for number in 0..3000 {
        let name = format!("root/a-long-name-to-fill-the-pipe-with-{number}");
        fs::write(sextant.path(&name), b"").unwrap();
    }
    sextant.pack(&["--out", "out"]);
    let mut child = sextant
        .command(&["inspect", "out/hello-1.2.3.npk"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(output.stderr, b"");
}

#[test]
fn help_names_every_command() {
    let sextant = Sextant::new();
    let help = sextant.succeeds(&["--help"]);
    for command in ["gen-key", "pack", "inspect", "unpack", "verify"] {
        assert!(help.contains(command), "{command}");
    }
    let output = sextant.command(&["no-such-command"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
