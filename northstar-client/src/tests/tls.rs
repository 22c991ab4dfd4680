//! TLS: who the server has to be, and what becomes of bad certificates.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{PrivatePkcs8KeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::peer::DEADLINE;
use crate::{Client, ConnectError, Endpoint, Options, Tls, TlsError, TlsFault};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Authority::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issue(authority: &Authority, name: &str, usage: ExtendedKeyUsagePurpose) -> (String, KeyPair) {
    issue_until(authority, name, usage, 4000)
}

/// A certificate that is valid until the beginning of this year.
fn issue_until(
    authority: &Authority,
    name: &str,
    usage: ExtendedKeyUsagePurpose,
    year: i32,
) -> (String, KeyPair) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.extended_key_usages = vec![usage];
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(year, 1, 1);
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, authority).unwrap().pem(), key)
}

/// A server with a certificate for `localhost`, and the files of a client it accepts.
struct Site {
    acceptor: TlsAcceptor,
    listener: TcpListener,
    dir: tempfile::TempDir,
}

impl Site {
    async fn new() -> Site {
        Site::with(ExtendedKeyUsagePurpose::ServerAuth, 4000).await
    }

    /// A server whose certificate is for this usage and valid until this year.
    async fn with(usage: ExtendedKeyUsagePurpose, year: i32) -> Site {
        let (servers, clients) = (authority("servers"), authority("clients"));
        let (cert, key) = issue_until(&servers, "localhost", usage, year);
        let mut roots = RootCertStore::empty();
        roots.add(clients.der().clone()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(
                vec![rustls::pki_types::CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = issue(&clients, "fleet", ExtendedKeyUsagePurpose::ClientAuth);
        write(&dir.path().join("ca"), &servers.pem());
        let client = ExtendedKeyUsagePurpose::ClientAuth;
        let (expired, expired_key) = issue_until(&clients, "fleet", client, 2001);
        write(&dir.path().join("expired"), &expired);
        write(
            &dir.path().join("expired key"),
            &expired_key.serialize_pem(),
        );
        let server = ExtendedKeyUsagePurpose::ServerAuth;
        let (misused, misused_key) = issue(&clients, "fleet", server);
        write(&dir.path().join("misused"), &misused);
        write(
            &dir.path().join("misused key"),
            &misused_key.serialize_pem(),
        );
        write(&dir.path().join("cert"), &cert);
        write(&dir.path().join("key"), &key.serialize_pem());
        Site {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            dir,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn tls(&self) -> Tls {
        Tls {
            ca: self.path("ca"),
            cert: self.path("cert"),
            key: self.path("key"),
            server_name: None,
        }
    }

    fn endpoint(&self, host: &str) -> Endpoint {
        let port = self.listener.local_addr().unwrap().port();
        format!("tls://{host}:{port}").parse().unwrap()
    }

    /// Answers one client, or refuses it.
    async fn serve(&self) {
        let (stream, _) = self.listener.accept().await.unwrap();
        let Ok(stream) = self.acceptor.accept(stream).await else {
            return;
        };
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        stream.write_all(b"{\"connect_ack\":null}\n").await.unwrap();
        line.clear();
        stream.read_line(&mut line).await.unwrap();
        assert_eq!(line, "{\"request\":\"list\"}\n");
        stream
            .write_all(b"{\"response\":{\"list\":[]}}\n")
            .await
            .unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }

    async fn connect(&self, host: &str, tls: Option<Tls>) -> Result<Client, ConnectError> {
        let options = Options {
            timeout: DEADLINE,
            tls,
            ..Options::default()
        };
        let endpoint = self.endpoint(host);
        tokio::select! {
            client = Client::connect(&endpoint, options) => client,
            () = async { loop { self.serve().await } } => unreachable!(),
        }
    }

    /// What the handshake with the server failed for.
    async fn fault(&self, host: &str) -> Option<TlsFault> {
        match self.connect(host, Some(self.tls())).await {
            Err(error @ ConnectError::Tls { .. }) => error.tls_fault(),
            other => panic!("{other:?}"),
        }
    }

    /// What the server refuses the client for.
    async fn refused(&self, tls: Tls) -> Option<TlsFault> {
        // The refusal may be overtaken by the reset that follows it.
        for _ in 0..20 {
            match self.connect("localhost", Some(tls.clone())).await {
                Err(error @ ConnectError::CertificateRefused(_)) => return error.tls_fault(),
                Err(ConnectError::Handshake(_) | ConnectError::Closed) => {}
                other => panic!("{other:?}"),
            }
        }
        panic!("never told");
    }

    /// Why these certificates are of no use; nobody is asked.
    async fn bad(&self, tls: Tls) -> TlsError {
        let options = Options::default().with_tls(tls);
        match Client::connect(&self.endpoint("localhost"), options).await {
            Err(ConnectError::Certificates(error)) => error,
            other => panic!("{other:?}"),
        }
    }
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn a_client_with_certificates() {
    let site = Site::new().await;
    let ask = async {
        let options = Options::default().with_tls(site.tls());
        let client = Client::connect(&site.endpoint("localhost"), options)
            .await
            .unwrap();
        client.list().await.unwrap()
    };
    let (list, ()) = timeout(DEADLINE, async { tokio::join!(ask, site.serve()) })
        .await
        .unwrap();
    assert_eq!(list, []);
}

#[tokio::test]
async fn a_server_with_another_name_or_authority_is_refused() {
    let site = Site::new().await;
    assert_eq!(site.fault("127.0.0.1").await, Some(TlsFault::Name));
    // Unless that is the name it has to have.
    let tls = Tls {
        server_name: Some("localhost".to_owned()),
        ..site.tls()
    };
    site.connect("127.0.0.1", Some(tls)).await.unwrap();

    write(&site.path("ca"), &authority("servers").pem());
    assert_eq!(site.fault("localhost").await, Some(TlsFault::Authority));
    let site = Site::with(ExtendedKeyUsagePurpose::ServerAuth, 2001).await;
    assert_eq!(site.fault("localhost").await, Some(TlsFault::Validity));
    let site = Site::with(ExtendedKeyUsagePurpose::ClientAuth, 4000).await;
    assert_eq!(site.fault("localhost").await, Some(TlsFault::Usage));
}

#[tokio::test]
async fn a_server_that_refuses_the_certificate_is_understood() {
    let site = Site::new().await;
    let stranger = authority("strangers");
    let (cert, key) = issue(&stranger, "fleet", ExtendedKeyUsagePurpose::ClientAuth);
    write(&site.path("cert"), &cert);
    write(&site.path("key"), &key.serialize_pem());
    assert_eq!(site.refused(site.tls()).await, Some(TlsFault::Authority));
    let expired = Tls {
        cert: site.path("expired"),
        key: site.path("expired key"),
        ..site.tls()
    };
    assert_eq!(site.refused(expired).await, Some(TlsFault::Validity));
    let misused = Tls {
        cert: site.path("misused"),
        key: site.path("misused key"),
        ..site.tls()
    };
    assert_eq!(site.refused(misused).await, Some(TlsFault::Usage));
}

#[tokio::test]
async fn a_server_without_tls_is_no_server() {
    let site = Site::new().await;
    let plain = async {
        let (mut stream, _) = site.listener.accept().await.unwrap();
        stream.write_all(b"{\"connect_ack\":null}\n").await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    };
    let endpoint = site.endpoint("localhost");
    let connect = Client::connect(&endpoint, Options::default().with_tls(site.tls()));
    let (error, ()) = timeout(DEADLINE, async { tokio::join!(connect, plain) })
        .await
        .unwrap();
    assert!(matches!(error, Err(ConnectError::Tls { .. })), "{error:?}");
    assert_eq!(error.unwrap_err().tls_fault(), Some(TlsFault::NoTls));
}

#[tokio::test]
async fn bad_certificates_are_told_apart() {
    let site = Site::new().await;
    let error = Client::connect(&site.endpoint("localhost"), Options::default()).await;
    assert!(matches!(
        error,
        Err(ConnectError::Certificates(TlsError::NoCertificates))
    ));
    let missing = Tls {
        ca: site.path("none"),
        ..site.tls()
    };
    assert!(
        matches!(site.bad(missing).await, TlsError::Read { path, .. } if path == site.path("none"))
    );
    let swapped = Tls {
        cert: site.path("key"),
        ..site.tls()
    };
    let error = site.bad(swapped).await;
    assert!(
        matches!(
            error,
            TlsError::Pem {
                kind: "CERTIFICATE",
                ..
            }
        ),
        "{error:?}"
    );
    let name = Tls {
        server_name: Some("no name".to_owned()),
        ..site.tls()
    };
    assert!(matches!(site.bad(name).await, TlsError::Name { .. }));

    fs::set_permissions(site.path("key"), fs::Permissions::from_mode(0o644)).unwrap();
    let error = site.bad(site.tls()).await;
    assert!(
        matches!(error, TlsError::Mode { mode: 0o644, .. }),
        "{error:?}"
    );

    write(
        &site.path("key"),
        &KeyPair::generate().unwrap().serialize_pem(),
    );
    let error = site.bad(site.tls()).await;
    assert!(
        matches!(&error, TlsError::Mismatch { path, .. } if *path == site.path("key")),
        "{error:?}"
    );
}
