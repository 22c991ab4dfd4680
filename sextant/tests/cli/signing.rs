//! Signing apart from packing, with keys that are here or elsewhere.

use std::fs;
use std::path::Path;
use std::process::Command;

use northstar_npk::key::SecretKey;

use crate::support::Sextant;

/// An unsigned package and two key pairs.
fn unsigned() -> Sextant {
    let sextant = Sextant::new();
    for name in ["test", "other"] {
        sextant.succeeds(&["gen-key", "--name", name, "--out", "."]);
    }
    sextant.pack(&["--out", "unsigned.npk"]);
    sextant
}

fn verifies(sextant: &Sextant, npk: &str, key: &str) -> bool {
    let verify = ["verify", npk, "--key", key];
    sextant.command(&verify).output().unwrap().status.success()
}

/// Runs a program of the machine that has to be there.
fn run(sextant: &Sextant, program: &str, arguments: &[&str]) -> Vec<u8> {
    let mut command = Command::new(program);
    command.current_dir(sextant.path("")).args(arguments);
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{program} cannot be run: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
    output.stdout
}

#[test]
fn signing_later_gives_the_package_that_signing_at_once_gives() {
    let sextant = unsigned();
    sextant.pack(&["--out", "at-once.npk", "--key", "test.key"]);
    let sign = [
        "sign",
        "unsigned.npk",
        "--key",
        "test.key",
        "--out",
        "later.npk",
    ];
    assert_eq!(sextant.succeeds(&sign), "later.npk\n");
    let read = |name| fs::read(sextant.path(name)).unwrap();
    assert!(read("at-once.npk") == read("later.npk"));
    assert!(verifies(&sextant, "later.npk", "test.pub"));

    // In place.
    sextant.succeeds(&["sign", "unsigned.npk", "--key", "test.key"]);
    assert!(read("at-once.npk") == read("unsigned.npk"));
}

/// What is to be signed does not take the place of what it stands for.
#[test]
fn a_digest_does_not_overwrite_its_package() {
    let sextant = unsigned();
    std::os::unix::fs::symlink("unsigned.npk", sextant.path("link")).unwrap();
    let before = fs::read(sextant.path("unsigned.npk")).unwrap();
    for out in ["unsigned.npk", "./unsigned.npk", "link"] {
        let reason = sextant.refused(&["digest", "unsigned.npk", "--out", out]);
        assert!(reason.contains("is the package itself"), "{reason}");
        assert!(fs::read(sextant.path("unsigned.npk")).unwrap() == before);
    }
}

#[test]
fn sign_and_resign_are_not_taken_for_each_other() {
    let sextant = unsigned();
    let before = fs::read(sextant.path("unsigned.npk")).unwrap();
    let reason = sextant.refused(&["resign", "unsigned.npk", "--key", "test.key"]);
    assert!(reason.contains("not signed"), "{reason}");
    assert_eq!(fs::read(sextant.path("unsigned.npk")).unwrap(), before);

    sextant.succeeds(&[
        "sign",
        "unsigned.npk",
        "--key",
        "test.key",
        "--out",
        "a.npk",
    ]);
    let reason = sextant.refused(&["sign", "a.npk", "--key", "other.key"]);
    assert!(reason.contains("resign"), "{reason}");
    assert!(verifies(&sextant, "a.npk", "test.pub"));

    let resign = ["resign", "a.npk", "--key", "other.key"];
    sextant.fails(&[&resign[..], &["--old-key", "other.pub"]].concat());
    assert!(verifies(&sextant, "a.npk", "test.pub"));
    sextant.succeeds(&[&resign[..], &["--old-key", "test.pub"]].concat());
    assert!(verifies(&sextant, "a.npk", "other.pub"));
    assert!(!verifies(&sextant, "a.npk", "test.pub"));
}

#[test]
fn a_damaged_package_is_not_signed() {
    let sextant = unsigned();
    let mut bytes = fs::read(sextant.path("unsigned.npk")).unwrap();
    // In the image, which starts at the first block.
    bytes[4096 + 100] ^= 1;
    fs::write(sextant.path("damaged.npk"), bytes).unwrap();
    sextant.fails(&["sign", "damaged.npk", "--key", "test.key", "--out", "a.npk"]);
    sextant.fails(&["digest", "damaged.npk"]);
    assert!(!sextant.path("a.npk").exists());
}

#[test]
fn a_signature_made_elsewhere_is_attached_in_three_forms() {
    let sextant = unsigned();
    let printed = sextant.succeeds(&["digest", "unsigned.npk"]);
    sextant.succeeds(&["digest", "unsigned.npk", "--out", "digest"]);
    let digest = fs::read(sextant.path("digest")).unwrap();
    assert_eq!(digest, printed.as_bytes());
    let signature = SecretKey::read(&sextant.path("test.key"))
        .unwrap()
        .sign(&digest);

    sextant.pack(&["--out", "at-once.npk", "--key", "test.key"]);
    let expected = fs::read(sextant.path("at-once.npk")).unwrap();
    let forms = [
        signature.to_vec(),
        (hex::encode(signature) + "\n").into_bytes(),
        (base64(&signature) + "\n").into_bytes(),
    ];
    for form in forms {
        fs::write(sextant.path("signature"), form).unwrap();
        let attach = [
            "attach-signature",
            "unsigned.npk",
            "-s",
            "signature",
            "-k",
            "test.pub",
            "-o",
            "a.npk",
        ];
        assert_eq!(sextant.succeeds(&attach), "a.npk\n");
        assert!(fs::read(sextant.path("a.npk")).unwrap() == expected);
        fs::remove_file(sextant.path("a.npk")).unwrap();
    }
    // The bytes to sign do not depend on who signed before.
    assert_eq!(sextant.succeeds(&["digest", "at-once.npk"]), printed);
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Every bit of the signature, and what it is over, counts.
#[test]
fn a_signature_that_was_tampered_with_is_not_attached() {
    let sextant = unsigned();
    let digest = sextant.succeeds(&["digest", "unsigned.npk"]);
    let key = SecretKey::read(&sextant.path("test.key")).unwrap();
    let signature = key.sign(digest.as_bytes());
    let attach = |key| {
        [
            "attach-signature",
            "unsigned.npk",
            "-s",
            "signature",
            "-k",
            key,
            "-o",
            "a.npk",
        ]
    };
    let refuse = |bytes: &[u8]| {
        fs::write(sextant.path("signature"), bytes).unwrap();
        sextant.fails(&attach("test.pub"));
        assert!(!sextant.path("a.npk").exists());
    };
    for byte in [0, 31, 32, 63] {
        for bit in 0..8 {
            let mut changed = signature;
            changed[byte] ^= 1 << bit;
            refuse(&changed);
        }
    }
    refuse(&key.sign(digest.trim_end().as_bytes()));
    refuse(&key.sign(&[]));
    refuse(&[0; 64]);
    // Not signatures at all.
    for bytes in [
        &b""[..],
        &signature[..63],
        &[&signature[..], b"x"].concat(),
        b"yes",
    ] {
        refuse(bytes);
    }
    fs::write(sextant.path("signature"), signature).unwrap();
    sextant.fails(&attach("other.pub"));
    sextant.fails(&attach("missing.pub"));
    assert!(!sextant.path("a.npk").exists());

    // The signature of one package is not that of another.
    let manifest = fs::read_to_string(sextant.path("manifest.yaml")).unwrap();
    fs::write(
        sextant.path("manifest.yaml"),
        manifest.replace("1.2.3", "1.2.4"),
    )
    .unwrap();
    sextant.pack(&["--out", "next.npk"]);
    sextant.fails(&[
        "attach-signature",
        "next.npk",
        "-s",
        "signature",
        "-k",
        "test.pub",
    ]);
    sextant.succeeds(&attach("test.pub"));
}

/// The way of a key that cannot be read, with the commands of the documentation: openssl holds the key, as a
/// token behind PKCS #11 would.
#[test]
fn openssl_signs_what_digest_prints() {
    let sextant = unsigned();
    let openssl = |arguments: &[&str]| run(&sextant, "openssl", arguments);
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", "hsm.pem"]);
    let der = openssl(&["pkey", "-in", "hsm.pem", "-pubout", "-outform", "DER"]);
    // RFC 8410: 12 bytes say what it is, 32 are the key.
    fs::write(sextant.path("hsm.pub"), &der[der.len() - 32..]).unwrap();
    sextant.succeeds(&["digest", "unsigned.npk", "--out", "digest"]);
    openssl(&[
        "pkeyutl",
        "-sign",
        "-rawin",
        "-inkey",
        "hsm.pem",
        "-in",
        "digest",
        "-out",
        "signature",
    ]);
    let attach = [
        "attach-signature",
        "unsigned.npk",
        "-s",
        "signature",
        "-k",
        "hsm.pub",
        "-o",
        "a.npk",
    ];
    sextant.succeeds(&attach);
    assert!(verifies(&sextant, "a.npk", "hsm.pub"));
    assert!(!Path::new("hsm.key").exists());
}

/// The same with a key that was made in a token behind PKCS #11 and cannot be read (packages `softhsm2`, `opensc`).
#[test]
fn a_key_in_a_token_signs_what_digest_prints() {
    let sextant = unsigned();
    fs::create_dir(sextant.path("tokens")).unwrap();
    let directory = sextant.path("tokens");
    let configuration = format!("directories.tokendir = {}\n", directory.display());
    fs::write(sextant.path("softhsm2.conf"), configuration).unwrap();
    let token = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command
            .current_dir(sextant.path(""))
            .env("SOFTHSM2_CONF", sextant.path("softhsm2.conf"))
            .args(arguments);
        let output = command
            .output()
            .unwrap_or_else(|error| panic!("{program} cannot be run: {error}"));
        assert!(output.status.success(), "{command:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let label = ["--init-token", "--free", "--label", "signing"];
    let pins = ["--so-pin", "87654321", "--pin", "12345678"];
    token("softhsm2-util", &[label, pins].concat());
    let tool = |arguments: &[&str]| {
        let module = ["--module", "/usr/lib/softhsm/libsofthsm2.so"];
        let login = ["--token-label", "signing", "--login", "--pin", "12345678"];
        token("pkcs11-tool", &[&module[..], &login, arguments].concat())
    };
    for id in ["01", "02"] {
        let kind = ["--key-type", "EC:edwards25519"];
        let made = tool(&[&["--keypairgen", "--id", id], &kind[..]].concat());
        assert!(made.contains("never extractable"), "{made}");
        let read = ["--read-object", "--type", "pubkey", "--id", id];
        tool(&[&read[..], &["--output-file", "public.pem"]].concat());
        let der = ["pkey", "-pubin", "-in", "public.pem", "-outform", "DER"];
        let der = run(&sextant, "openssl", &der);
        let name = format!("token-{id}.pub");
        fs::write(sextant.path(&name), &der[der.len() - 32..]).unwrap();
    }
    sextant.succeeds(&["digest", "unsigned.npk", "--out", "digest"]);
    let sign = ["--sign", "--mechanism", "EDDSA", "--id", "01"];
    let files = ["--input-file", "digest", "--output-file", "signature"];
    tool(&[&sign[..], &files].concat());
    let attach = |key| {
        let package = ["attach-signature", "unsigned.npk", "-s", "signature"];
        [&package[..], &["-k", key, "-o", "a.npk"]].concat()
    };
    // The other key of the token is another key.
    sextant.fails(&attach("token-02.pub"));
    sextant.succeeds(&attach("token-01.pub"));
    assert!(verifies(&sextant, "a.npk", "token-01.pub"));
    assert!(!verifies(&sextant, "a.npk", "token-02.pub"));
}
