//! Making keys, and telling their halves apart.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::Sextant;

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
