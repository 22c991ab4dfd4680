//! Files of consoles over TLS, good and bad.

use super::{FileProblem, Tls};
use crate::config::{Address, Config, ConfigError};
use rcgen::{CertificateParams, KeyPair};
use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// A self-signed certificate and its key, as PEM.
fn pair() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Files that are good as they are.
struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn new() -> Files {
        let files = Files {
            directory: tempfile::tempdir().unwrap(),
        };
        let (cert, key) = pair();
        write(&files.path("cert"), &cert, 0o644);
        write(&files.path("key"), &key, 0o600);
        write(&files.path("client_ca"), &pair().0, 0o644);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn tls(&self) -> Tls {
        Tls {
            host: "localhost".to_owned(),
            port: 0,
            cert: self.path("cert"),
            key: self.path("key"),
            client_ca: self.path("client_ca"),
            client_crl: None,
            peers: Vec::new(),
        }
    }

    /// What is wrong, and with which key.
    fn problem(&self) -> (&'static str, FileProblem) {
        let error = self.tls().read().unwrap_err();
        assert_eq!(error.path, self.path(error.key));
        (error.key, error.source)
    }
}

#[test]
fn good_files_are_read() {
    let files = Files::new();
    assert_eq!(files.tls().read().unwrap().trust.len(), 1);
    // A key that its group may read is usual for keys that several services share.
    write(
        &files.path("key"),
        &fs::read_to_string(files.path("key")).unwrap(),
        0o640,
    );
    files.tls().read().unwrap();
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    for mode in [0o604, 0o644, 0o660, 0o602] {
        let files = Files::new();
        fs::set_permissions(files.path("key"), fs::Permissions::from_mode(mode)).unwrap();
        let (key, problem) = files.problem();
        assert_eq!(key, "key");
        assert!(matches!(problem, FileProblem::Mode { mode: found } if found == mode));
    }
}

#[test]
fn what_others_can_change_is_not_trusted() {
    for name in ["cert", "client_ca"] {
        let files = Files::new();
        fs::set_permissions(files.path(name), fs::Permissions::from_mode(0o646)).unwrap();
        let (key, problem) = files.problem();
        assert_eq!(key, name);
        assert!(matches!(problem, FileProblem::Mode { mode: 0o646 }));
    }
}

#[test]
fn missing_empty_and_foreign_files_are_told_apart() {
    for name in ["cert", "key", "client_ca"] {
        let files = Files::new();
        let path = files.path(name);
        write(&path, "no PEM at all", 0o600);
        let (key, problem) = files.problem();
        assert_eq!(key, name);
        assert!(matches!(problem, FileProblem::Empty { .. }), "{problem:?}");

        write(
            &path,
            "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n",
            0o600,
        );
        let (key, problem) = files.problem();
        assert_eq!(key, name);
        assert!(matches!(problem, FileProblem::Pem(_)), "{problem:?}");

        fs::remove_file(&path).unwrap();
        let (key, problem) = files.problem();
        assert_eq!(key, name);
        assert!(
            matches!(&problem, FileProblem::Read(error) if error.kind() == io::ErrorKind::NotFound)
        );

        fs::create_dir(&path).unwrap();
        let (key, problem) = files.problem();
        assert_eq!(key, name);
        assert!(matches!(problem, FileProblem::NoFile), "{problem:?}");
    }
}

#[test]
fn a_certificate_that_is_none_is_refused() {
    for name in ["cert", "client_ca"] {
        let files = Files::new();
        let text = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        write(&files.path(name), text, 0o644);
        let (key, problem) = files.problem();
        assert_eq!(key, name);
        let FileProblem::Certificate(rustls::Error::InvalidCertificate(_)) = problem else {
            panic!("{problem:?}")
        };
    }
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let files = Files::new();
    write(&files.path("key"), &pair().1, 0o600);
    let (key, problem) = files.problem();
    assert_eq!(key, "key");
    assert!(matches!(
        problem,
        FileProblem::Tls(rustls::Error::InconsistentKeys(_))
    ));
}

#[test]
fn a_revocation_list_that_is_none_is_refused() {
    let files = Files::new();
    let path = files.path("client_crl");
    let text = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    write(&path, text, 0o644);
    let tls = Tls {
        client_crl: Some(path),
        ..files.tls()
    };
    let error = tls.read().unwrap_err();
    assert_eq!(error.key, "client_crl");
    assert!(matches!(error.source, FileProblem::Verifier(_)));
}

#[test]
fn a_bad_file_is_found_without_a_start() {
    let files = Files::new();
    let text = format!(
        r#"
            run_dir = "run"
            data_dir = "data"
            [[console]]
            url = "unix:///s"
            [[console]]
            url = "tls://localhost:4200"
            cert = {cert:?}
            key = {key:?}
            client_ca = {ca:?}
            peers = [{{ subject = "fleet", permissions = "full" }}]
        "#,
        cert = files.path("cert"),
        key = files.path("key"),
        ca = files.path("client_ca"),
    );
    let path = files.path("northstar.toml");
    fs::write(&path, text).unwrap();
    let config = Config::load(&path).unwrap();
    config.read_credentials().unwrap();
    assert!(matches!(config.console[1].address, Address::Tls(_)));

    fs::set_permissions(files.path("key"), fs::Permissions::from_mode(0o644)).unwrap();
    let error = Config::load(&path).unwrap().read_credentials().unwrap_err();
    let ConfigError::Credentials { index: 1, source } = error else {
        panic!("{error:?}")
    };
    assert_eq!(source.key, "key");
    assert_eq!(source.path, files.path("key"));
}

#[test]
fn a_file_that_is_replaced_has_another_stamp() {
    let files = Files::new();
    let before = files.tls().stamps();
    assert_eq!(files.tls().stamps(), before);
    let same = fs::read_to_string(files.path("cert")).unwrap();
    write(&files.path("new"), &same, 0o644);
    fs::rename(files.path("new"), files.path("cert")).unwrap();
    let replaced = files.tls().stamps();
    assert_ne!(replaced, before);
    fs::remove_file(files.path("key")).unwrap();
    assert_ne!(files.tls().stamps(), replaced);
}
