//! What of the daemon's secrets a container finds that may look into its init, which is a copy of the daemon as it was
//! when it forked the forker.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use northstar_tests::{Package, Site};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::json;

/// A secret key for this test alone: RSA, whose large numbers leave the longest traces.
const KEY: &str = include_str!("console.key.pem");

/// Bytes of one pattern, and from the begin of one to that of the next.
const PATTERN: usize = 16;
const STEP: usize = 64;

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Makes the files of a console over TLS and returns its key.
fn certificates(directory: &Path) -> KeyPair {
    let params = || CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let mut authority = params();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::from_pem(KEY).unwrap();
    let certificate = params().signed_by(&key, &authority).unwrap();
    write(&directory.join("clients.pem"), &authority.pem());
    write(&directory.join("daemon.pem"), &certificate.pem());
    write(&directory.join("daemon.key"), KEY);
    key
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Parts of the secret numbers, which are not in the certificate: in the order of the file, and in that of libraries,
/// which compute from the lower end.
fn patterns(key: &KeyPair) -> Vec<Vec<u8>> {
    let (encoded, public) = (key.serialize_der(), key.public_key_raw().to_vec());
    let reversed = |bytes: &[u8]| bytes.iter().rev().copied().collect::<Vec<u8>>();
    let orders = [
        (reversed(&encoded), reversed(&public)),
        (encoded, public.clone()),
    ];
    orders
        .iter()
        .flat_map(|(encoded, public)| {
            let parts = encoded.windows(PATTERN).step_by(STEP);
            parts.filter(|part| !contains(public, part))
        })
        .map(<[u8]>::to_vec)
        .collect()
}

/// In hexadecimal digits, so that init, which gets the arguments of its payload, does not hold what is looked for.
fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn key_of_the_consoles_is_not_in_the_memory_of_init() {
    let site = Site::new().console(
        r#"{ url = "tls://127.0.0.1:0", cert = "DIRECTORY/daemon.pem", key = "DIRECTORY/daemon.key", client_ca = "DIRECTORY/clients.pem", peers = [{ subject = "fleet", permissions = ["ident"] }] }"#,
    );
    let patterns = patterns(&certificates(site.path()));
    // Seven of the eight numbers of the key are secret, and most of them are in there twice.
    assert!(patterns.len() > 20, "{}", patterns.len());
    let found = found_in_init(&site, &[], patterns);
    assert!(found.iter().all(|found| !found), "{found:?}");
}

#[test]
fn environment_of_the_daemon_is_not_in_the_memory_of_init() {
    let secret = "correct horse battery staple";
    let variable = format!("NORTHSTAR_TEST_SECRET={secret}");
    let patterns = vec![secret.as_bytes().to_vec(), b"NORTHSTAR_TEST_".to_vec()];
    let found = found_in_init(&Site::new(), &["env", &variable], patterns);
    assert_eq!(found, [false, false]);
}

/// Starts the daemon through `launcher` and a container that may trace, and says of each pattern whether that container
/// finds it in its init.
fn found_in_init(site: &Site, launcher: &[&str], patterns: Vec<Vec<u8>>) -> Vec<bool> {
    let count = patterns.len();
    // The first one shows that the container can look.
    let mut words = vec!["search-init".to_owned(), digits(b"northstar-init")];
    words.extend(patterns.iter().map(|pattern| digits(pattern)));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    site.pack(&Package::app("reader", &words).field("capabilities: [CAP_SYS_PTRACE]"));
    let daemon = site.start_through(launcher);
    let mut console = daemon.console();
    console.start_ok("reader:0.0.1");
    let status = console.expect_exit("reader:0.0.1");
    assert_eq!(status, json!({"exit": {"code": 0}}), "{}", daemon.log());
    let output = daemon.complete_output("reader:0.0.1");
    daemon.stop();
    let found: Vec<bool> = output.iter().map(|line| line == "found true").collect();
    assert_eq!((found.len(), found[0]), (1 + count, true), "{output:?}");
    found[1..].to_vec()
}
