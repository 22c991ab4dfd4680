//! Packing.

use std::fs::{self, File};
use std::io::Write;
use std::process::{Command, Stdio};

use northstar_npk::Package;
use northstar_npk::key::PublicKey;
use rustix::fs::XattrFlags;
use serde_json::Value;

use crate::support::{MANIFEST, Sextant};

#[test]
fn packed_packages_verify_with_their_key_only() {
    let sextant = Sextant::new();
    sextant.key();
    sextant.succeeds(&["gen-key", "--name", "other", "--out", "."]);
    for compression in ["none", "gzip", "lzo", "xz", "zstd", "lz4"] {
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
        let json = sextant.inspect("out/hello-1.2.3.npk", &[]);
        assert_eq!(json["image"]["compression"], compression);
        assert_eq!(json["image"]["block_size"], 131_072);
    }
    assert_eq!(sextant.pack(&["--out", "unsigned.npk"]), "unsigned.npk\n");
    sextant.fails(&["verify", "unsigned.npk", "--key", "test.pub"]);
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

/// A pipe does not say how much comes out of it.
#[test]
fn a_manifest_may_come_through_a_pipe() {
    let sextant = Sextant::new();
    let pack = |manifest: &str| {
        let pack = ["pack", "-m", "/dev/stdin", "-r", "root", "-o", "a.npk"];
        let mut child = sextant
            .command(&pack)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // What is too large is not read to the end.
        let _ = child.stdin.take().unwrap().write_all(manifest.as_bytes());
        child.wait_with_output().unwrap()
    };
    let output = pack(MANIFEST);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let output = pack(&format!("{MANIFEST}# {}\n", "x".repeat(66_000)));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let reason = String::from_utf8(output.stderr).unwrap();
    assert!(
        reason.contains("/dev/stdin is larger than 65536 bytes"),
        "{reason}"
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
    for (field, plain, beyond) in [
        ("`uid`", "uid: 1000", "uid: 70000"),
        ("`version`", "version: 1.2.3", "version: 1.2.3-rc.1"),
    ] {
        let manifest = MANIFEST.replace(plain, beyond);
        fs::write(sextant.path("manifest.yaml"), manifest).unwrap();
        let pack = ["pack", "--manifest-path", "manifest.yaml", "--out", "out"];
        let output = sextant.command(&pack).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let warnings = String::from_utf8(output.stderr).unwrap();
        assert!(
            warnings.lines().count() == 1 && warnings.contains(field),
            "{warnings}"
        );
    }
}

#[test]
fn block_sizes_are_powers_of_two() {
    let sextant = Sextant::new();
    for size in ["4096", "1048576"] {
        sextant.pack(&["--out", "a.npk", "-b", size]);
        let json = sextant.inspect("a.npk", &[]);
        assert_eq!(json["image"]["block_size"].to_string(), size);
    }
    let pack = ["pack", "-m", "manifest.yaml", "-o", "b.npk", "--block-size"];
    for size in ["0", "2048", "100000", "2097152"] {
        let reason = sextant.refused(&[&pack[..], &[size]].concat());
        assert!(reason.contains(size), "{reason}");
    }
    assert!(!sextant.path("b.npk").exists());
}

#[test]
fn the_options_of_0_9_x_still_work() {
    let sextant = Sextant::new();
    sextant.succeeds(&["gen-key", "-n", "test", "-o", "."]);
    let pack = [
        "pack",
        "-m",
        "manifest.yaml",
        "-r",
        "root",
        "-k",
        "test.key",
        "-o",
        "out",
    ];
    sextant.succeeds(&[&pack[..], &["-c", "zstd", "-b", "65536"]].concat());
    let long = "pack --manifest-path manifest.yaml --root root --key test.key --out out --compression zstd \
                --block-size 65536";
    let first = std::fs::read(sextant.path("out/hello-1.2.3.npk")).unwrap();
    sextant.succeeds(&long.split_whitespace().collect::<Vec<_>>());
    let second = std::fs::read(sextant.path("out/hello-1.2.3.npk")).unwrap();
    assert_eq!(second, first);
    let npk = "out/hello-1.2.3.npk";
    let unpack = [
        "unpack",
        "-n",
        npk,
        "-o",
        "unpacked",
        "--unsquashfs",
        "unsquashfs",
    ];
    sextant.succeeds(&unpack);
    assert_eq!(sextant.names("unpacked"), ["manifest.yaml", "root"]);
    assert_eq!(
        sextant.succeeds(&["inspect", "-s", npk, "--unsquashfs", "unsquashfs"]),
        "name: hello, version: 1.2.3, NPK version: 0.9.2, resource container: no\n"
    );
}

#[test]
fn extended_attributes_are_refused_or_dropped() {
    let sextant = Sextant::new();
    let file = sextant.path("root/hello");
    rustix::fs::setxattr(&file, "user.note", b"x", XattrFlags::empty()).unwrap();
    let pack = ["pack", "-m", "manifest.yaml", "-r", "root", "-o", "a.npk"];
    let reason = sextant.refused(&pack);
    assert!(
        reason.contains("hello") && reason.contains("user.note"),
        "{reason}"
    );
    // What can be done about it.
    assert!(reason.contains("--no-xattrs"), "{reason}");
    assert!(!sextant.path("a.npk").exists());
    let output = sextant
        .command(&[&pack[..], &["--no-xattrs"]].concat())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let warnings = String::from_utf8(output.stderr).unwrap();
    assert!(warnings.contains("user.note"), "{warnings}");
}

/// A manifest may grow when it is written anew: a list in flow style takes half the bytes.
#[test]
fn a_manifest_that_grows_beyond_the_limit_is_refused() {
    let sextant = Sextant::new();
    let long = format!("{MANIFEST}custom: [{}]\n", "1,".repeat(20_000));
    fs::write(sextant.path("manifest.yaml"), long).unwrap();
    let reason = sextant.refused(&["pack", "-m", "manifest.yaml", "-o", "out"]);
    assert!(reason.contains("65536"), "{reason}");
    assert!(sextant.names("out").is_empty());
}

#[test]
fn refused_manifests_name_file_line_and_field() {
    let sextant = Sextant::new();
    let wrong = MANIFEST.replace("uid: 1000", "uid: 0");
    fs::write(sextant.path("manifest.yaml"), wrong).unwrap();
    let reason = sextant.refused(&["pack", "-m", "manifest.yaml", "-o", "out"]);
    assert_eq!(
        reason,
        "error: invalid manifest manifest.yaml: line 4: `uid`: is 0: 1 to 4294967294 is allowed\n"
    );
}

#[test]
fn mksquashfs_keeps_what_the_builtin_packer_refuses() {
    let sextant = Sextant::new();
    sextant.key();
    let file = sextant.path("root/hello");
    rustix::fs::setxattr(&file, "user.note", b"x", XattrFlags::empty()).unwrap();
    fs::hard_link(&file, sextant.path("root/other")).unwrap();
    let options = [
        "--out",
        "a.npk",
        "--key",
        "test.key",
        "--packer",
        "mksquashfs",
    ];
    sextant.pack(&[&options[..], &["--threads", "1", "-c", "zstd"]].concat());
    sextant.succeeds(&["verify", "a.npk", "--key", "test.pub"]);
    assert_eq!(
        sextant.inspect("a.npk", &[])["image"]["compression"],
        "zstd"
    );
    // By name, as in 0.9.x.
    sextant.pack(&["--out", "b.npk", "--mksquashfs", "mksquashfs"]);

    let pack = ["pack", "-m", "manifest.yaml", "-r", "root", "-o", "c.npk"];
    let reason = sextant.refused(&[&pack[..], &["--mksquashfs", "/no/such"]].concat());
    assert!(reason.contains("/no/such"), "{reason}");
    assert!(reason.contains("squashfs-tools"), "{reason}");
    sextant.fails(
        &[
            &pack[..],
            &["--mksquashfs", "mksquashfs", "--packer", "builtin"],
        ]
        .concat(),
    );
    sextant.fails(&[&pack[..], &["--threads", "1", "--no-xattrs"]].concat());
    assert!(!sextant.path("c.npk").exists());
}

#[test]
fn an_image_that_exists_is_packed_as_it_is() {
    let sextant = Sextant::new();
    sextant.key();
    for directory in ["dev", "proc"] {
        fs::create_dir(sextant.path("root").join(directory)).unwrap();
    }
    let mut mksquashfs = Command::new("mksquashfs");
    mksquashfs.current_dir(sextant.path("")).args([
        "root",
        "image",
        "-no-progress",
        "-comp",
        "lz4",
    ]);
    let output = mksquashfs.output().expect("mksquashfs of squashfs-tools");
    assert!(output.status.success(), "{output:?}");
    let pack = [
        "pack",
        "-m",
        "manifest.yaml",
        "-o",
        "a.npk",
        "-k",
        "test.key",
        "--fsimage",
        "image",
    ];
    sextant.succeeds(&pack);
    sextant.succeeds(&["verify", "a.npk", "--key", "test.pub"]);
    assert_eq!(sextant.inspect("a.npk", &[])["image"]["compression"], "lz4");
    for more in [
        ["--root", "root"],
        ["--compression", "zstd"],
        ["--packer", "mksquashfs"],
    ] {
        let output = sextant
            .command(&[&pack[..], &more].concat())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
    fs::write(sextant.path("image"), vec![0; 8192]).unwrap();
    sextant.fails(&[&pack[..8], &["image"]].concat());
}
