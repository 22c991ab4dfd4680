//! Loading a directory: every good package is used, every bad entry is reported, nothing stops the load.

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener},
};

use northstar_npk::{OpenError as PackageError, key::SecretKey, pack::pack_clones};
use northstar_runtime::repository::{Claims, OpenError, RejectReason, Repository};
use rustix::{
    fs::{CWD, FileType, Mode, makedev, mknodat},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

use crate::{
    fixture::{entries, id, keyed, names, open, unkeyed},
    support::{self, Env},
};

#[test]
fn bad_entries_are_reported_one_by_one_and_the_good_ones_are_used() {
    let env = Env::new();
    let good = fs::read(env.signed("good:1.0.0")).unwrap();
    let directory = env.path("packages");
    let write = |name: &str, bytes: &[u8]| fs::write(directory.join(name), bytes).unwrap();

    fs::create_dir(directory.join("lost+found")).unwrap();
    fs::create_dir(directory.join("b-directory.npk")).unwrap();
    let node = |name: &str, kind, device| {
        mknodat(CWD, directory.join(name), kind, Mode::RWXU, device).unwrap();
    };
    // Opening this one for reading would wait for a writer for ever.
    node("c-fifo.npk", FileType::Fifo, 0);
    node("d-device.npk", FileType::CharacterDevice, makedev(1, 3));
    symlink("good-1.0.0.npk", directory.join("e-link.npk")).unwrap();
    symlink("nowhere", directory.join("f-dangling.npk")).unwrap();
    let _socket = UnixListener::bind(directory.join("g-socket.npk")).unwrap();
    write("h-empty.npk", b"");
    write("i-half.npk", &good[..good.len() / 2]);
    write("j-text.npk", b"this is no package");
    write("README", b"about this repository");
    let other = SecretKey::generate().unwrap();
    let path = env.pack("k-other-key:1.0.0", Some(&other));
    assert_eq!(path, directory.join("k-other-key-1.0.0.npk"));
    env.unsigned("l-unsigned:1.0.0");
    let manifest = good
        .windows(5)
        .position(|window| window == b"name:")
        .unwrap();
    let mut changed = good.clone();
    changed[manifest] ^= 0x20;
    write("m-changed.npk", &changed);
    fs::write(directory.join(OsStr::from_bytes(b"\xff.npk")), b"").unwrap();

    let (repository, rejected) = Repository::open(&id("test"), &keyed(&env, &directory)).unwrap();
    let installed: Vec<_> = repository
        .packages()
        .map(|p| p.container.to_string())
        .collect();
    assert_eq!(installed, ["good:1.0.0"]);
    assert_eq!(
        names(&rejected),
        [
            "README",
            "b-directory.npk",
            "c-fifo.npk",
            "d-device.npk",
            "e-link.npk",
            "f-dangling.npk",
            "g-socket.npk",
            "h-empty.npk",
            "i-half.npk",
            "j-text.npk",
            "k-other-key-1.0.0.npk",
            "l-unsigned-1.0.0.npk",
            "lost+found",
            "m-changed.npk",
            "\u{fffd}.npk",
        ]
    );
    for (rejected, expected) in rejected.iter().zip([
        "name",
        "directory",
        "FIFO",
        "device",
        "link",
        "link",
        "socket",
        "archive",
        "archive",
        "archive",
        "signature",
        "unsigned",
        "name",
        "changed",
        "archive",
    ]) {
        let reason = &rejected.reason;
        let fits = match expected {
            "name" => matches!(reason, RejectReason::Name),
            "archive" => matches!(reason, RejectReason::Package(PackageError::Archive(_))),
            "signature" => matches!(reason, RejectReason::Package(PackageError::Signature(_))),
            "unsigned" => matches!(reason, RejectReason::Package(PackageError::Unsigned)),
            "changed" => matches!(
                reason,
                RejectReason::Package(PackageError::Hash { .. } | PackageError::Archive(_))
            ),
            kind => {
                matches!(reason, RejectReason::NotAFile { kind: found } if found.contains(kind))
            }
        };
        assert!(
            fits,
            "{}: {reason:?} is not {expected}",
            rejected.entry.display()
        );
    }
    // They are left alone.
    assert_eq!(
        fs::read(directory.join("j-text.npk")).unwrap(),
        b"this is no package"
    );
}

#[test]
fn of_equal_packages_the_first_by_name_of_file_is_used() {
    let env = Env::new();
    let package = env.signed("a:1.0.0");
    let directory = env.path("packages");
    fs::copy(&package, directory.join("0-first.npk")).unwrap();
    fs::copy(&package, directory.join("z-last.npk")).unwrap();
    let (repository, rejected) = Repository::open(&id("test"), &keyed(&env, &directory)).unwrap();
    assert_eq!(repository.packages().count(), 1);
    assert_eq!(names(&rejected), ["a-1.0.0.npk", "z-last.npk"]);
    for rejected in rejected {
        assert!(
            matches!(&rejected.reason, RejectReason::Duplicate { container, first }
                if container.to_string() == "a:1.0.0" && *first == id("test")),
            "{rejected:?}"
        );
    }
}

#[test]
fn of_equal_packages_in_two_repositories_the_first_repository_has_it() {
    let env = Env::new();
    env.signed("a:1.0.0");
    fs::create_dir(env.path("second")).unwrap();
    fs::copy(env.path("packages/a-1.0.0.npk"), env.path("second/a.npk")).unwrap();
    let claims = Claims::default();
    let config = |name: &str| keyed(&env, &env.path(name));
    let (first, rejected) =
        Repository::open_with(&id("first"), &config("packages"), &claims).unwrap();
    assert!(rejected.is_empty(), "{rejected:?}");
    let (second, rejected) =
        Repository::open_with(&id("second"), &config("second"), &claims).unwrap();
    assert_eq!(
        (first.packages().count(), second.packages().count()),
        (1, 0)
    );
    assert!(
        matches!(&rejected[0].reason, RejectReason::Duplicate { first, .. } if *first == id("first")),
        "{rejected:?}"
    );
}

#[test]
fn unfinished_files_of_an_earlier_daemon_are_deleted_and_nothing_else() {
    let env = Env::new();
    env.signed("a:1.0.0");
    let staging = env.path("packages/.staging");
    fs::create_dir(&staging).unwrap();
    for name in [
        "install-0",
        "install-17",
        "remove-3",
        "install-",
        "install-x",
        "keep",
    ] {
        fs::write(staging.join(name), b"half a package").unwrap();
    }
    fs::create_dir(staging.join("install-9")).unwrap();
    let repository = open(&keyed(&env, &env.path("packages")));
    assert_eq!(repository.packages().count(), 1);
    assert_eq!(
        entries(&staging),
        ["install-", "install-9", "install-x", "keep"]
    );
}

#[test]
fn a_missing_directory_is_made() {
    let env = Env::new();
    let directory = env.path("not/there/yet");
    let repository = open(&keyed(&env, &directory));
    assert_eq!(repository.packages().count(), 0);
    assert_eq!(entries(&directory), [".staging"]);
}

#[test]
fn a_directory_belongs_to_one_daemon_at_a_time() {
    let env = Env::new();
    let config = keyed(&env, &env.path("packages"));
    let first = open(&config);
    let error = Repository::open(&id("second"), &config).unwrap_err();
    assert!(
        matches!(&error, OpenError::InUse { repository, path }
            if *repository == id("second") && *path == env.path("packages")),
        "{error:?}"
    );
    drop(first);
    open(&config);
}

#[test]
fn a_repository_with_an_unusable_key_or_place_is_an_error() {
    let env = Env::new();
    let mut config = keyed(&env, &env.path("packages"));
    config.key = Some(env.path("no-such-key.pub"));
    let error = Repository::open(&id("test"), &config).unwrap_err();
    assert!(matches!(error, OpenError::Key { .. }), "{error:?}");

    File::create(env.path("file")).unwrap();
    let error = Repository::open(&id("test"), &keyed(&env, &env.path("file"))).unwrap_err();
    assert!(matches!(error, OpenError::Directory { .. }), "{error:?}");
}

#[test]
fn without_a_key_packages_are_taken_as_they_are_and_nothing_they_say_about_hashes_is_kept() {
    let env = Env::new();
    env.signed("a:1.0.0");
    env.unsigned("b:1.0.0");
    let repository = open(&unkeyed(&env.path("packages")));
    assert_eq!(repository.packages().count(), 2);
    for package in repository.packages() {
        assert_eq!(
            package.integrity,
            northstar_runtime::storage::Integrity::None
        );
        assert_eq!(package.source.image.verity, None);
    }
}

#[test]
fn each_package_has_its_own_descriptor_even_beyond_the_usual_limit() {
    let env = Env::new();
    let manifest = northstar_npk::Package::open(
        &File::open(env.signed("many:1.0.0")).unwrap(),
        Some(&env.public_key()),
    )
    .unwrap()
    .into_manifest();
    fs::remove_dir_all(env.path("root")).unwrap();
    fs::create_dir(env.path("root")).unwrap();
    fs::create_dir(env.path("clones")).unwrap();
    let options = northstar_npk::pack::PackOptions {
        manifest: &manifest,
        root: Some(&env.path("root")),
        key: Some(&env.key),
        compression: northstar_npk::squashfs::Compression::Gzip,
        ..northstar_npk::pack::PackOptions::new(&manifest)
    };
    pack_clones(&options, 300, &env.path("clones")).unwrap();

    let before = getrlimit(Resource::Nofile);
    let lowered = support::descriptors() as u64 + 100;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(lowered),
            ..before
        },
    )
    .unwrap();
    let repository = open(&keyed(&env, &env.path("clones")));
    assert_eq!(repository.packages().count(), 300);
    assert!(getrlimit(Resource::Nofile).current.unwrap() > lowered + 200);
    setrlimit(Resource::Nofile, before).unwrap();
}
