//! Tests of keys and their files.

use std::os::unix::fs::PermissionsExt;

use super::*;

/// The eight points of small order in their canonical encodings are known; these are two:
/// the neutral element and the point of order two.
fn weak_keys() -> [[u8; KEY_SIZE]; 2] {
    let mut neutral = [0; KEY_SIZE];
    neutral[0] = 1;
    let mut order_two = [0xff; KEY_SIZE];
    order_two[0] = 0xec;
    order_two[31] = 0x7f;
    [neutral, order_two]
}

#[test]
fn weak_public_keys_are_refused() {
    for weak in weak_keys() {
        assert!(matches!(PublicKey::from_bytes(weak), Err(KeyError::Weak)));
    }
}

#[test]
fn bytes_outside_of_the_curve_are_refused() {
    let mut bytes = [0; KEY_SIZE];
    bytes[0] = 2;
    assert!(matches!(
        PublicKey::from_bytes(bytes),
        Err(KeyError::Invalid(_))
    ));
}

#[test]
fn a_written_pair_reads_back_and_signs() {
    let dir = tempfile::tempdir().unwrap();
    let key = SecretKey::generate().unwrap();
    let paths = key.write_pair(dir.path(), "northstar").unwrap();
    assert_eq!(paths.secret, dir.path().join("northstar.key"));
    assert_eq!(paths.public, dir.path().join("northstar.pub"));
    let mode = std::fs::metadata(&paths.secret)
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o600);

    let secret = SecretKey::read(&paths.secret).unwrap();
    let public = PublicKey::read(&paths.public).unwrap();
    let signature = secret.sign(b"message");
    assert!(public.verifies(b"message", &signature));
    assert!(!public.verifies(b"messagf", &signature));
    let other = SecretKey::generate().unwrap();
    assert!(!other.public().verifies(b"message", &signature));
}

#[test]
fn names_tell_the_halves_apart() {
    let dir = tempfile::tempdir().unwrap();
    let key = SecretKey::generate().unwrap();
    let paths = key.write_pair(dir.path(), "a").unwrap();
    assert!(matches!(
        SecretKey::read(&paths.public),
        Err(KeyError::NotSecret { path }) if path == paths.public
    ));
    assert!(matches!(
        PublicKey::read(&paths.secret),
        Err(KeyError::NotPublic { path }) if path == paths.secret
    ));
}

#[test]
fn a_secret_key_beside_another_public_key_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let key = SecretKey::generate().unwrap();
    let paths = key.write_pair(dir.path(), "a").unwrap();
    let other = SecretKey::generate().unwrap().public();
    for sibling in [other.as_bytes().as_slice(), b"short"] {
        std::fs::write(&paths.public, sibling).unwrap();
        assert!(matches!(
            SecretKey::read(&paths.secret),
            Err(KeyError::Mismatch { path, public })
                if path == paths.secret && public == paths.public
        ));
    }
    std::fs::remove_file(&paths.public).unwrap();
    assert_eq!(
        SecretKey::read(&paths.secret).unwrap().public(),
        key.public()
    );
}

#[test]
fn existing_keys_are_never_overwritten() {
    for existing in ["a.key", "a.pub"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(existing);
        std::fs::write(&path, b"precious").unwrap();
        let result = SecretKey::generate().unwrap().write_pair(dir.path(), "a");
        assert!(
            matches!(result, Err(KeyError::Exists { path: found }) if found == path),
            "{existing}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

#[test]
fn names_that_leave_the_directory_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["", "../a", "a/b", "/a"] {
        let result = SecretKey::generate().unwrap().write_pair(dir.path(), name);
        assert!(matches!(result, Err(KeyError::Name { .. })), "{name:?}");
    }
}

#[test]
fn key_files_of_other_lengths_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    for length in [0, 31, 33, 64, 4096] {
        std::fs::write(&path, vec![7; length]).unwrap();
        assert!(matches!(
            PublicKey::read(&path),
            Err(KeyError::Length { .. })
        ));
        assert!(matches!(
            SecretKey::read(&path),
            Err(KeyError::Length { .. })
        ));
    }
}
