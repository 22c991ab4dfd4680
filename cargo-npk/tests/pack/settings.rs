//! What Cargo.toml and the command line say.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use northstar_npk::Package;
use northstar_npk::key::{PublicKey, SecretKey};
use northstar_npk::squashfs::EntryKind;

use crate::support::{Crate, INLINE, find, host, list, start};

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

/// The crate is that of the directory, or one that is named.
#[test]
fn a_workspace_has_several_crates() {
    let this = Crate::new("");
    this.write(
        "Cargo.toml",
        "[workspace]\nmembers = [\"a\", \"b\"]\nresolver = \"2\"\n",
    );
    for name in ["a", "b"] {
        this.write(
            &format!("{name}/Cargo.toml"),
            &format!(
                "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\
                 [package.metadata.npk]\n{INLINE}libs = true\n"
            ),
        );
        this.write(&format!("{name}/src/main.rs"), "fn main() {}\n");
    }
    assert!(this.packs(&["--package", "b"]).ends_with("b-0.1.0.npk"));
    assert!(
        this.packs(&["--manifest-path", "a/Cargo.toml"])
            .ends_with("a-0.1.0.npk")
    );
    let inside = this
        .command(&[])
        .current_dir(this.path("b/src"))
        .output()
        .unwrap();
    assert_eq!(inside.status.code(), Some(0), "{inside:?}");
    assert!(inside.stdout.ends_with(b"b-0.1.0.npk\n"), "{inside:?}");
    assert!(this.refused(&[]).contains("--package"));
    assert!(this.refused(&["--package", "c"]).contains("no crate c"));
}

/// The links of the content are those of a machine to be, not of this one.
#[test]
fn links_of_the_root_do_not_lead_out_of_the_image() {
    let this = Crate::new(&format!(
        "{INLINE}libs = true\nroot = \"root\"\n\
         assets = [{{ source = \"a\", target = \"/out/a\" }}, \
         {{ source = \"data\", target = \"/out\" }}]\n"
    ));
    this.write("a", "a\n");
    this.write("data/b", "b\n");
    this.write("data/sub/c", "c\n");
    let outside = this.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::create_dir(this.path("root")).unwrap();
    symlink(&outside, this.path("root/out")).unwrap();
    symlink("/usr/lib", this.path("root/lib")).unwrap();

    let npk = this.packs(&[]);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    let entries = list(&npk);
    for name in ["a", "b", "sub/c"] {
        let path = outside.join(name);
        assert!(find(&entries, path.to_str().unwrap()).is_some(), "{name}");
    }
    assert!(find(&entries, "/usr/lib/libc.so.6").is_some());
    assert_eq!(start(&this, &npk, "/bin/greet"), "hello from greet\n");
}

#[test]
fn the_umask_does_not_matter() {
    let this = Crate::new(&format!(
        "{INLINE}assets = [{{ source = \"data\", target = \"/srv/www/data\" }}]\n"
    ));
    this.write("data/a", "a\n");
    let (npk, _) = this.packs_with_warnings(&["--out", "one.npk"]);
    let command = this.command(&["--out", "two.npk"]);
    let mut strict = Command::new("sh");
    strict
        .args(["-c", "umask 077; exec \"$@\"", "sh"])
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(this.path(""));
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => strict.env(name, value),
            None => strict.env_remove(name),
        };
    }
    let output = strict.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(fs::read(npk).unwrap() == fs::read(this.path("two.npk")).unwrap());
}
