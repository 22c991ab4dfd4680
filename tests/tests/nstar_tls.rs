//! The operator command line over TLS, against the real daemon.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use northstar_tests::{Daemon, Site, eventually, programs, programs::workspace};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Authority::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Writes `NAME.pem` and `NAME.key` for a peer with this common name, which is also its DNS name.
fn issue(
    authority: &Authority,
    directory: &Path,
    name: &str,
    common: &str,
    usage: ExtendedKeyUsagePurpose,
) {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common);
    params.subject_alt_names = vec![SanType::DnsName(common.try_into().unwrap())];
    params.extended_key_usages = vec![usage];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    write(&directory.join(format!("{name}.pem")), &certificate.pem());
    write(&directory.join(format!("{name}.key")), &key.serialize_pem());
}

/// A daemon with a TLS console, and the files of who may use it and who may not.
struct Place {
    directory: PathBuf,
    url: String,
    daemon: Daemon,
    _site: Site,
}

impl Place {
    fn new() -> Place {
        // The daemon takes it as soon as it is free again.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let site = Site::new().console(&format!(
            r#"{{ url = "tls://127.0.0.1:{port}", cert = "DIRECTORY/daemon.pem", key = "DIRECTORY/daemon.key", client_ca = "DIRECTORY/clients.pem", peers = [{{ subject = "fleet", permissions = ["ident", "repositories"] }}] }}"#
        ));
        let directory = site.path().to_owned();
        let (servers, clients) = (authority("servers"), authority("clients"));
        let (server, client) = (
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        );
        write(&directory.join("servers.pem"), &servers.pem());
        write(&directory.join("clients.pem"), &clients.pem());
        issue(&servers, &directory, "daemon", "localhost", server);
        issue(&clients, &directory, "fleet", "fleet", client.clone());
        issue(&clients, &directory, "guest", "guest", client.clone());
        issue(
            &authority("strangers"),
            &directory,
            "stranger",
            "fleet",
            client,
        );
        drop(listener);
        let daemon = site.start();
        // The socket that it has waited for is bound before this one.
        eventually("the console", || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Place {
            directory,
            url: format!("tls://127.0.0.1:{port}"),
            daemon,
            _site: site,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// nstar as `who`, with words of its own.
    fn nstar(&self, who: &str, words: &[&str]) -> Output {
        Command::new(&programs().nstar)
            .args(["--url", &self.url, "--tls-ca"])
            .arg(self.path("servers.pem"))
            .arg("--tls-cert")
            .arg(self.path(&format!("{who}.pem")))
            .arg("--tls-key")
            .arg(self.path(&format!("{who}.key")))
            .args(words)
            .env_remove("NSTAR_TLS_NAME")
            .output()
            .expect("nstar runs")
    }
}

const NAMED: [&str; 2] = ["--tls-name", "localhost"];

fn stdout(output: &Output) -> &str {
    assert!(output.status.success(), "{output:?}");
    std::str::from_utf8(&output.stdout).unwrap()
}

#[test]
fn certificates_on_both_sides_decide_who_does_what() {
    let place = Place::new();
    let words = |word: &'static str| [&NAMED[..], &[word]].concat();
    assert_eq!(
        stdout(&place.nstar("fleet", &words("ident"))),
        "extern:0.0.0\n"
    );
    let repositories = place.nstar("fleet", &words("repositories"));
    let rows: Vec<Vec<&str>> = stdout(&repositories)
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows[0], ["NAME", "TYPE", "KEY", "INTEGRITY"]);
    assert_eq!(rows[1][..3], ["default", "fs", "yes"]);

    // The environment says the same as the options.
    let output = Command::new(&programs().nstar)
        .args(["--json", "ident"])
        .env("NSTAR_URL", &place.url)
        .env("NSTAR_TLS_CA", place.path("servers.pem"))
        .env("NSTAR_TLS_CERT", place.path("fleet.pem"))
        .env("NSTAR_TLS_KEY", place.path("fleet.key"))
        .env("NSTAR_TLS_NAME", "localhost")
        .output()
        .unwrap();
    assert_eq!(
        stdout(&output),
        "{\"response\":{\"ident\":\"extern:0.0.0\"}}\n"
    );

    // What the subject may not do.
    let denied = place.nstar("fleet", &words("list"));
    assert_eq!(denied.status.code(), Some(4), "{denied:?}");
    // A daemon that is not who it should be.
    let unnamed = place.nstar("fleet", &["ident"]);
    assert_eq!(unnamed.status.code(), Some(3), "{unnamed:?}");
    let stderr = String::from_utf8_lossy(&unnamed.stderr);
    assert!(stderr.contains("--tls-name"), "{stderr}");
    // Who speaks without TLS.
    let plain = Command::new(&programs().nstar)
        .args(["--url", &place.url.replace("tls://", "tcp://"), "ident"])
        .output()
        .unwrap();
    assert_eq!(plain.status.code(), Some(3), "{plain:?}");
    let stderr = String::from_utf8_lossy(&plain.stderr);
    assert!(stderr.contains("begins with tls://"), "{stderr}");
    // Clients that nobody knows, or that say so themselves. What to change is told.
    for (who, key) in [("guest", "`peers`"), ("stranger", "`client_ca`")] {
        let refused = place.nstar(who, &words("ident"));
        assert_eq!(refused.status.code(), Some(4), "{who}: {refused:?}");
        let stderr = String::from_utf8_lossy(&refused.stderr);
        let hint = stderr.lines().last().unwrap();
        assert!(hint.starts_with(&format!("hint: {key}")), "{stderr}");
    }
    place.daemon.stop();
}

/// The blocks of commands in a section of a page.
fn commands(page: &str, section: &str) -> Vec<String> {
    let page = fs::read_to_string(workspace().join(page)).unwrap();
    let (_, rest) = page.split_once(section).unwrap();
    let section = rest.split("\n## ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap().to_owned())
        .collect()
}

/// Certificates as the page about the configuration makes them.
#[test]
fn the_documented_certificates_work() {
    let directory = tempfile::tempdir().unwrap();
    let run = |script: &str| {
        let shell = Command::new("sh")
            .args(["-e", "-c", script])
            .current_dir(directory.path())
            .output()
            .unwrap();
        assert!(shell.status.success(), "{shell:?}");
    };
    let [certificates, revocation] =
        &commands("docs/configuration.md", "### Consoles over TLS")[..]
    else {
        panic!("the page has other commands")
    };
    run(certificates);
    let at = directory.path().display();
    let ident = |more: &str| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let site = Site::new().console(&format!(
            r#"{{ url = "tls://127.0.0.1:{port}", cert = "{at}/console.pem", key = "{at}/console.key", client_ca = "{at}/authority.pem", {more}peers = [{{ subject = "fleet", permissions = "full" }}] }}"#
        ));
        drop(listener);
        let daemon = site.start();
        eventually("the console", || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        let output = Command::new(&programs().nstar)
            .args(["--url", &format!("tls://127.0.0.1:{port}")])
            .args(["--tls-ca", "authority.pem"])
            .args(["--tls-cert", "fleet.pem", "--tls-key", "fleet.key"])
            .arg("ident")
            .current_dir(directory.path())
            .output()
            .unwrap();
        daemon.stop();
        output
    };
    assert_eq!(stdout(&ident("")), "extern:0.0.0\n");
    run(revocation);
    let refused = ident(&format!(r#"client_crl = "{at}/authority.crl", "#));
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert!(stderr.contains("`client_crl`"), "{stderr}");
}
