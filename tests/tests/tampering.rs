//! Whatever of a signed package is altered: it is refused, or the read of the altered block fails. Nothing altered
//! is ever executed, and the daemon and the other packages go on.

use std::{fs, os::unix::fs::FileExt, path::Path};

use northstar_tests::{Console, Package, Site, flip_bit};
use serde_json::{Value, json};

/// Offset of the first occurrence of `needle`.
fn find(file: &Path, needle: &[u8]) -> u64 {
    let bytes = fs::read(file).unwrap();
    let position = bytes
        .windows(needle.len())
        .position(|window| window == needle);
    position.expect("the package holds what the test alters") as u64
}

/// Starts the daemon on a repository with a good package and an altered one, and asserts that the altered one is
/// refused as a whole: it is not listed and the good one runs.
fn assert_refused_at_load(alter: impl Fn(&Path)) {
    let site = Site::new();
    site.pack(&Package::app("good", &["exit", "0"]));
    let package = site.pack(&Package::app("evil", &["exit", "0"]));
    alter(&package);
    let daemon = site.start();
    let mut console = daemon.console();
    assert_eq!(
        console.request(&json!("list")),
        json!({"list": ["good:0.0.1"]})
    );
    assert_eq!(
        console.start("evil:0.0.1"),
        json!({"start": {"error": {"container": "evil:0.0.1", "error": {"invalid_container": {"container": "evil:0.0.1"}}}}})
    );
    assert_good_runs(&mut console);
    daemon.stop();
}

fn assert_good_runs(console: &mut Console) {
    console.start_ok("good:0.0.1");
    assert_eq!(
        console.expect_exit("good:0.0.1"),
        json!({"exit": {"code": 0}})
    );
}

#[test]
fn flipped_bit_in_the_manifest_is_refused() {
    assert_refused_at_load(|file| flip_bit(file, find(file, b"uid: 1000") + 5));
}

#[test]
fn flipped_bit_in_the_hashes_is_refused() {
    assert_refused_at_load(|file| flip_bit(file, find(file, b"verity-hash: ") + 13));
}

#[test]
fn flipped_bit_in_the_signature_is_refused() {
    assert_refused_at_load(|file| flip_bit(file, find(file, b"signature: ") + 20));
}

#[test]
fn flipped_bit_in_the_comment_is_refused() {
    assert_refused_at_load(|file| flip_bit(file, fs::metadata(file).unwrap().len() - 2));
}

#[test]
fn flipped_bit_in_the_superblock_is_refused() {
    // The salt: 88 bytes into the superblock, which starts with its magic.
    assert_refused_at_load(|file| flip_bit(file, find(file, b"verity\0\0") + 80));
}

#[test]
fn truncated_package_is_refused() {
    assert_refused_at_load(|file| {
        let length = fs::metadata(file).unwrap().len();
        fs::File::options()
            .write(true)
            .open(file)
            .unwrap()
            .set_len(length - 4096)
            .unwrap();
    });
}

#[test]
fn other_key_is_refused() {
    let other = Site::new();
    assert_refused_at_load(|file| {
        Package::app("evil", &["exit", "0"]).pack(file.parent().unwrap(), Some(&other.key()));
    });
}

#[test]
fn unsigned_package_is_refused() {
    assert_refused_at_load(|file| {
        Package::app("evil", &["exit", "0"]).pack(file.parent().unwrap(), None);
    });
}

/// Alters the image after the package was loaded: the start is refused, or the altered block cannot be read. Either
/// way the program that was altered does not run.
fn assert_never_executed(alter: impl Fn(&Path)) {
    let site = Site::new();
    site.pack(&Package::app("good", &["exit", "0"]));
    let package = site.pack(&Package::app("evil", &["exit", "0"]));
    let daemon = site.start();
    let mut console = daemon.console();
    alter(&package);
    let answer = console.start("evil:0.0.1");
    let refused = answer.pointer("/start/error/error").is_some();
    if !refused {
        // dm-verity lets the mount pass if the altered block is not needed for it; then the program dies of it.
        let status = console.expect_exit("evil:0.0.1");
        assert!(status.get("signalled").is_some(), "{status}");
    }
    assert_good_runs(&mut console);
    daemon.stop();
}

/// Overwrites every byte of the squashfs from its first data block on, so that whatever is executed is altered.
fn spoil_squashfs_data(file: &Path) {
    let start = find(file, b"hsqs");
    let end = find(file, b"verity\0\0");
    let image = fs::File::options().write(true).open(file).unwrap();
    let first_block_after_superblock = start + 4096;
    assert!(first_block_after_superblock < end);
    let noise = vec![0x5a; usize::try_from(end - first_block_after_superblock).unwrap()];
    image
        .write_all_at(&noise, first_block_after_superblock)
        .unwrap();
}

#[test]
fn squashfs_rewritten_in_place_after_load_is_never_executed() {
    assert_never_executed(spoil_squashfs_data);
}

#[test]
fn hash_tree_rewritten_in_place_after_load_is_never_executed() {
    assert_never_executed(|file| {
        let tree = find(file, b"verity\0\0") + 4096;
        let package = fs::File::options().write(true).open(file).unwrap();
        package.write_all_at(&[0x5a; 4096], tree).unwrap();
    });
}

#[test]
fn file_replaced_after_load_does_not_matter() {
    let site = Site::new();
    site.pack(&Package::app("app", &["exit", "7"]));
    let daemon = site.start();
    let mut console = daemon.console();
    // The same name and version with other content, validly signed: still not what was verified at load.
    site.pack(&Package::app("app", &["exit", "8"]));
    console.start_ok("app:0.0.1");
    assert_eq!(
        console.expect_exit("app:0.0.1"),
        json!({"exit": {"code": 7}})
    );
    daemon.stop();
}

#[test]
fn altered_package_is_not_installed() {
    for needle in [
        &b"uid: 1000"[..],
        b"verity-hash: ",
        b"signature: ",
        b"hsqs",
        b"verity\0\0",
    ] {
        let site = Site::new();
        let outside = tempfile::tempdir().unwrap();
        let package = Package::app("evil", &["exit", "0"]).pack(outside.path(), Some(&site.key()));
        flip_bit(&package, find(&package, needle) + needle.len() as u64);
        let daemon = site.start();
        let mut console = daemon.console();
        let answer = console.install("default", &package);
        let error = answer
            .pointer("/install/error/error/unexpected/error")
            .and_then(Value::as_str);
        assert!(error.is_some(), "{answer}");
        assert_eq!(console.request(&json!("list")), json!({"list": []}));
        assert_eq!(
            fs::read_dir(site.repository())
                .unwrap()
                .flatten()
                .filter(|e| e.path().extension().is_some_and(|x| x == "npk"))
                .count(),
            0
        );
        daemon.stop();
    }
}

#[test]
fn vm_altered_data_block_gives_an_io_error() {
    let site = Site::new();
    // Incompressible content, so that its bytes are data blocks of their own.
    let noise: String = (0u32..200_000)
        .map(|n| char::from(b'!' + (n.wrapping_mul(2_654_435_761) >> 24) as u8 % 90))
        .collect();
    let package = site.pack(&Package::app("app", &["cat", "/noise"]).file("/noise", &noise));
    let daemon = site.start();
    let mut console = daemon.console();
    assert_eq!(
        console.mount("app:0.0.1"),
        json!({"ok": {"container": "app:0.0.1"}})
    );

    // The page before the superblock of the verity tree holds squashfs tables; the data lies at the start.
    let image = find(&package, b"hsqs");
    let file = fs::File::options().write(true).open(&package).unwrap();
    let mut spoiled = vec![0u8; 96 * 1024];
    for (index, byte) in spoiled.iter_mut().enumerate() {
        *byte = index as u8;
    }
    let end = find(&package, b"verity\0\0");
    let middle = image + (end - image) / 2 / 4096 * 4096;
    file.write_all_at(&spoiled[..4096], middle).unwrap();
    file.sync_all().unwrap();
    fs::write("/proc/sys/vm/drop_caches", "3").unwrap();

    let answer = console.start("app:0.0.1");
    if answer.pointer("/start/ok").is_some() {
        let status = console.expect_exit("app:0.0.1");
        if status.get("signalled").is_none() {
            // EIO is 5.
            assert_eq!(
                daemon.complete_output("app:0.0.1"),
                ["/noise error 5"],
                "altered data was handed out"
            );
        }
    }
    daemon.stop();
}
