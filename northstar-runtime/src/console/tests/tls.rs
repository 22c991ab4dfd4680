//! Consoles over TLS: who gets in, with which permissions, and what becomes of everybody else.

mod authority;

use super::{
    CONNECT, Client, DEADLINE, Record, SUBSCRIBE, container, json, play, repositories, request,
};
use crate::supervisor::script::Publisher;
use crate::{
    config::{Address, ConnectionOptions, Listener, ListenerOptions, SubjectPeer, Tls},
    console::{Console, Listening},
    supervisor::{Event, script},
};
use authority::{Authority, Identity, Names};
use northstar_manifest::{Permission, Permissions};
use rustls::{AlertDescription, ClientConfig, HandshakeKind, RootCertStore, crypto::ring};
use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

/// A console over TLS, with the authority of its clients.
struct Site {
    listening: Listening,
    cancel: CancellationToken,
    events: Publisher,
    record: Arc<Mutex<Record>>,
    directory: tempfile::TempDir,
    server: Authority,
    clients: Authority,
}

/// The names that are known, and what they may do.
fn peers() -> Vec<SubjectPeer> {
    let peer = |subject: &str, permissions| SubjectPeer {
        subject: subject.parse().unwrap(),
        permissions,
    };
    let only = |permission| [permission].into_iter().collect::<Permissions>();
    vec![
        peer("fleet", Permissions::full()),
        peer("DNS:viewer.example.org", only(Permission::List)),
        peer("URI:spiffe://example.org/ident", only(Permission::Ident)),
    ]
}

impl Site {
    async fn start() -> Site {
        Site::with(ListenerOptions::default(), ConnectionOptions::default()).await
    }

    async fn with(limits: ListenerOptions, options: ConnectionOptions) -> Site {
        let directory = tempfile::tempdir().unwrap();
        let (server, clients) = (Authority::new("server"), Authority::new("clients"));
        let path = |name: &str| directory.path().join(name);
        let tls = Tls {
            host: "127.0.0.1".to_owned(),
            port: 0,
            cert: path("cert"),
            key: path("key"),
            client_ca: path("client_ca"),
            client_crl: Some(path("client_crl")),
            peers: peers(),
        };
        server.issue(Names::server()).write(&tls.cert, &tls.key);
        write(&tls.client_ca, &clients.pem());
        write(&path("client_crl"), &clients.revocations(&[]));

        let (handle, script) = script::script(64, &repositories());
        let events = script.events.clone();
        let record = Arc::<Mutex<Record>>::default();
        tokio::spawn(play(script, Arc::clone(&record)));
        let cancel = CancellationToken::new();
        let console = Console::new(handle, cancel.clone()).unwrap();
        let listener = Listener {
            address: Address::Tls(Box::new(tls)),
            permissions: Permissions::none(),
            peers: Vec::new(),
            limits,
            options,
        };
        let listening = console.listen(&[listener]).await.unwrap();
        Site {
            listening,
            cancel,
            events,
            record,
            directory,
            server,
            clients,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    async fn tcp(&self) -> TcpStream {
        let address = self.listening.urls[0].strip_prefix("tls://").unwrap();
        TcpStream::connect(address).await.unwrap()
    }

    /// How a client of this console is set up.
    fn config(&self, identity: Option<&Identity>) -> ClientConfig {
        self.config_with(identity, &[&rustls::version::TLS13])
    }

    fn config_with(
        &self,
        identity: Option<&Identity>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.server.der()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        match identity {
            Some(identity) => builder
                .with_client_auth_cert(identity.chain(), identity.key())
                .unwrap(),
            None => builder.with_no_client_auth(),
        }
    }

    async fn connect(&self, config: ClientConfig) -> io::Result<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(Arc::new(config));
        let name = "localhost".try_into().unwrap();
        let connected = connector.connect(name, self.tcp().await);
        timeout(DEADLINE, connected).await.unwrap()
    }

    /// A client that gets in.
    async fn client(&self, identity: &Identity) -> Client<TlsStream<TcpStream>> {
        Client::new(self.connect(self.config(Some(identity))).await.unwrap())
    }

    /// The alert that a client gets which does not get in.
    async fn alert(&self, config: ClientConfig) -> AlertDescription {
        let refused = async {
            let mut stream = self.connect(config).await?;
            // As clients do, without waiting. The server may have closed already.
            let _ = stream.write_all(format!("{CONNECT}\n").as_bytes()).await;
            let _ = stream.flush().await;
            // In TLS 1.3 the client has done its part before the server judges it (RFC 8446, 2).
            stream.read(&mut [0; 1]).await
        };
        let error = timeout(DEADLINE, refused).await.unwrap().unwrap_err();
        let error = error.get_ref().unwrap().downcast_ref::<rustls::Error>();
        match error {
            Some(rustls::Error::AlertReceived(alert)) => *alert,
            other => panic!("no alert: {other:?}"),
        }
    }

    /// Whoever was refused before, a good client is served.
    async fn works(&self) {
        let fleet = self.clients.issue(Names::common("fleet"));
        let mut client = self.client(&fleet).await.connect().await;
        client.works().await;
    }

    async fn stop(mut self) {
        self.cancel.cancel();
        let ended = async {
            while let Some(task) = self.listening.tasks.join_next().await {
                task.unwrap();
            }
        };
        timeout(DEADLINE, ended).await.unwrap();
    }
}

/// The connection was cut: without the alert that ends a TLS connection in order (RFC 8446, 6.1).
async fn cut(client: Client<TlsStream<TcpStream>>) {
    let mut stream = client.stream;
    let end = timeout(DEADLINE, stream.read(&mut [0; 1])).await.unwrap();
    let cut = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset];
    let error = end.unwrap_err();
    assert!(cut.contains(&error.kind()), "{error:?}");
}

/// Replaces a file at once, as certificates should be.
fn write(path: &std::path::Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(new, path).unwrap();
}

#[tokio::test]
async fn the_subject_decides_what_a_client_may_do() {
    let site = Site::start().await;
    let fleet = site.clients.issue(Names::common("fleet"));
    let viewer = site.clients.issue(Names::dns("Viewer.example.org"));
    let ident = site.clients.issue(Names::uri("spiffe://example.org/ident"));
    let list = json(r#"{"list":["app:1.0.0","lib:0.1.0"]}"#);
    let me = json(r#"{"ident":"extern:0.0.0"}"#);
    let no_list = json(r#"{"permission_denied":"list"}"#);
    let no_ident = json(r#"{"permission_denied":"ident"}"#);
    for (identity, of_list, of_ident) in [
        (&fleet, &list, &me),
        (&viewer, &list, &no_ident),
        (&ident, &no_list, &me),
    ] {
        let mut client = site.client(identity).await.connect().await;
        assert_eq!(client.ask(r#""list""#).await, *of_list);
        assert_eq!(client.ask(r#""ident""#).await, *of_ident);
    }
    // Nor may who has no permission for it subscribe.
    let mut client = site.client(&viewer).await;
    client.send(SUBSCRIBE).await;
    client
        .expect(r#"{"connect_nack":"permission_denied"}"#)
        .await;
    client.closed().await;
    site.stop().await;
}

#[tokio::test]
async fn a_session_of_0_9_2_over_tls() {
    let site = Site::start().await;
    let fleet = site.clients.issue(Names::common("fleet"));
    let mut client = site.client(&fleet).await.subscribe().await;
    let start =
        r#"{"start":{"container":"app:1.0.0","init":null,"arguments":[],"environment":{}}}"#;
    client.send(&request(start)).await;
    // In either order: they come from different sources.
    let mut messages = [client.next().await.unwrap(), client.next().await.unwrap()];
    messages.sort_by_key(|message| message.get("response").is_some());
    assert_eq!(
        messages[0],
        json(r#"{"notification":{"started":"app:1.0.0"}}"#)
    );
    let started = json(r#"{"response":{"start":{"ok":{"container":"app:1.0.0"}}}}"#);
    assert_eq!(messages[1], started);

    // Larger than a TLS record (RFC 8446, 5.1).
    let package: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
    let install = format!(
        r#"{{"install":{{"repository":"default","size":{}}}}}"#,
        package.len()
    );
    client.send(&request(&install)).await;
    client.raw(&package).await;
    client
        .expect(r#"{"response":{"install":{"ok":{"container":"new:0.0.1"}}}}"#)
        .await;
    let uploads = site.record.lock().unwrap().uploads.clone();
    assert!(uploads == [Some(package)]);

    site.events.send(Event::Uninstalled(container("app:1.0.0")));
    client
        .expect(r#"{"notification":{"uninstall":"app:1.0.0"}}"#)
        .await;
    client.works().await;
    site.stop().await;
    client.closed().await;
}

/// TLS holds back what the socket has no room for.
#[tokio::test]
async fn an_answer_arrives_as_a_whole_if_the_client_reads_slowly() {
    let site = Site::start().await;
    let viewer = site.clients.issue(Names::dns("viewer.example.org"));
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let address = site.listening.urls[0].strip_prefix("tls://").unwrap();
    let tcp = socket.connect(address.parse().unwrap()).await.unwrap();
    let connector = TlsConnector::from(Arc::new(site.config(Some(&viewer))));
    let name = "localhost".try_into().unwrap();
    let stream = timeout(DEADLINE, connector.connect(name, tcp)).await;
    let mut client = Client::new(stream.unwrap().unwrap()).connect().await;
    for size in [100_000, 300_000, 500_000] {
        let denied = format!(
            r#"{{"token_create":{{"target":"b","shared":"{}"}}}}"#,
            "AAAA".repeat(size / 4)
        );
        client.send(&request(&denied)).await;
        client
            .expect(&format!(
                r#"{{"response":{{"permission_denied":{denied}}}}}"#
            ))
            .await;
    }
    site.stop().await;
}

#[tokio::test]
async fn who_has_no_good_certificate_is_refused_and_told_why() {
    let site = Site::start().await;
    let stranger = Authority::new("clients");
    let cases = [
        (None, AlertDescription::CertificateRequired),
        (
            Some(stranger.issue(Names::common("fleet"))),
            AlertDescription::DecryptError,
        ),
        (
            Some(Authority::new("others").issue(Names::common("fleet"))),
            AlertDescription::UnknownCA,
        ),
        (
            Some(site.clients.issue(Names::common("fleet").expired())),
            AlertDescription::CertificateExpired,
        ),
        (
            Some(site.clients.issue(Names::common("fleet").not_yet_valid())),
            AlertDescription::CertificateExpired,
        ),
        // A certificate of a server is none of a client.
        (
            Some(site.clients.issue(Names::common("fleet").for_servers())),
            AlertDescription::UnsupportedCertificate,
        ),
        (
            Some(site.clients.issue(Names::common("somebody"))),
            AlertDescription::AccessDenied,
        ),
        // The name counts in its own place alone, and as a whole.
        (
            Some(site.clients.issue(Names::dns("fleet"))),
            AlertDescription::AccessDenied,
        ),
        (
            Some(site.clients.issue(Names::common("viewer.example.org"))),
            AlertDescription::AccessDenied,
        ),
        (
            Some(site.clients.issue(Names::dns("*.example.org"))),
            AlertDescription::AccessDenied,
        ),
        (
            Some(
                site.clients
                    .issue(Names::common("somebody").and_common("fleet")),
            ),
            AlertDescription::AccessDenied,
        ),
    ];
    for (index, (identity, expected)) in cases.iter().enumerate() {
        let alert = site.alert(site.config(identity.as_ref())).await;
        assert_eq!(alert, *expected, "case {index}");
    }
    assert!(site.record.lock().unwrap().asked.is_empty());
    site.works().await;
    site.stop().await;
}

#[tokio::test]
async fn tls_before_1_3_is_refused() {
    let site = Site::start().await;
    let fleet = site.clients.issue(Names::common("fleet"));
    let config = site.config_with(Some(&fleet), &[&rustls::version::TLS12]);
    assert_eq!(site.alert(config).await, AlertDescription::ProtocolVersion);
    site.stop().await;
}

#[tokio::test]
async fn plain_lines_get_no_answer_from_a_tls_console() {
    let site = Site::start().await;
    let mut stream = site.tcp().await;
    stream
        .write_all(format!("{CONNECT}\n{}\n", request(r#""shutdown""#)).as_bytes())
        .await
        .unwrap();
    let mut answer = Vec::new();
    // What was not read by the server may be reset.
    let _ = timeout(DEADLINE, stream.read_to_end(&mut answer))
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&answer);
    assert!(!text.contains("connect_ack"), "{text}");
    assert!(site.record.lock().unwrap().asked.is_empty());
    site.works().await;
    site.stop().await;
}

#[tokio::test]
async fn who_is_slow_in_the_handshake_is_closed() {
    let options = ConnectionOptions {
        connect_timeout: Some(Duration::from_millis(50)),
        ..ConnectionOptions::default()
    };
    let site = Site::with(ListenerOptions::default(), options).await;
    let closed = async |mut stream: TcpStream| {
        let end = timeout(DEADLINE, stream.read(&mut [0; 64])).await.unwrap();
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    };
    // Says nothing.
    closed(site.tcp().await).await;
    // Begins a record of 256 bytes.
    let mut stream = site.tcp().await;
    stream.write_all(&[0x16, 3, 1, 1, 0]).await.unwrap();
    closed(stream).await;
    // Completes the handshake and does not say `connect`: it is the same deadline.
    let fleet = site.clients.issue(Names::common("fleet"));
    cut(site.client(&fleet).await).await;
    site.stop().await;
}

#[tokio::test]
async fn the_places_count_from_accept() {
    let limits = ListenerOptions {
        max_pending_connections: 1,
        max_connections_per_peer: 1,
        ..ListenerOptions::default()
    };
    let site = Site::with(limits, ConnectionOptions::default()).await;
    let mut silent = site.tcp().await;
    // Takes the place of the one that has not even begun.
    let fleet = site.clients.issue(Names::common("fleet"));
    let mut client = site.client(&fleet).await.connect().await;
    let end = timeout(DEADLINE, silent.read(&mut [0; 1])).await.unwrap();
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    // And is the only one of its address.
    let mut second = site.client(&fleet).await;
    second.send(CONNECT).await;
    cut(second).await;
    client.works().await;
    site.stop().await;
}

#[tokio::test]
async fn a_session_is_never_resumed() {
    let site = Site::start().await;
    let fleet = site.clients.issue(Names::common("fleet"));
    let config = Arc::new(site.config(Some(&fleet)));
    for _ in 0..2 {
        let connector = TlsConnector::from(Arc::clone(&config));
        let name = "localhost".try_into().unwrap();
        let stream = connector.connect(name, site.tcp().await).await.unwrap();
        let mut client = Client::new(stream).connect().await;
        // A ticket would have come with the answer.
        client.works().await;
        let stream = client.stream.into_inner();
        let (_, connection) = stream.get_ref();
        assert_eq!(connection.handshake_kind(), Some(HandshakeKind::Full));
    }
    site.stop().await;
}

#[tokio::test]
async fn a_renewed_certificate_is_in_force_with_the_next_connection() {
    let site = Site::start().await;
    let fleet = site.clients.issue(Names::common("fleet"));
    let shown = |client: &Client<TlsStream<TcpStream>>| {
        let (_, connection) = client.stream.get_ref().get_ref();
        connection.peer_certificates().unwrap()[0].clone()
    };
    let mut before = site.client(&fleet).await.connect().await;
    let renewed = site.server.issue(Names::server());
    renewed.write(&site.path("cert"), &site.path("key"));
    let after = site.client(&fleet).await.connect().await;
    assert_ne!(shown(&before), shown(&after));
    assert_eq!(shown(&after), renewed.chain()[0]);
    // Nothing about the clients has changed: who is there stays.
    before.works().await;

    // Half a renewal, or a bad one, changes nothing.
    write(&site.path("cert"), "half a certificate");
    let bad = site.client(&fleet).await.connect().await;
    assert_eq!(shown(&bad), renewed.chain()[0]);
    before.works().await;
    site.stop().await;
}

#[tokio::test]
async fn a_revoked_certificate_loses_its_connections_and_gets_no_new_one() {
    let site = Site::start().await;
    let fleet = site.clients.issue(Names::common("fleet").serial(7));
    let viewer = site
        .clients
        .issue(Names::dns("viewer.example.org").serial(8));
    let mut revoked = site.client(&fleet).await.connect().await;
    revoked.works().await;

    write(&site.path("client_crl"), &site.clients.revocations(&[7]));
    // The next one that connects makes the daemon look.
    let mut other = site.client(&viewer).await.connect().await;
    other.ask(r#""list""#).await;
    cut(revoked).await;
    assert_eq!(
        site.alert(site.config(Some(&fleet))).await,
        AlertDescription::CertificateRevoked
    );
    other.ask(r#""list""#).await;
    site.stop().await;
}

#[tokio::test]
async fn an_authority_that_is_no_longer_trusted_takes_its_clients_along() {
    let site = Site::start().await;
    let fleet = site.clients.issue(Names::common("fleet"));
    let mut before = site.client(&fleet).await.connect().await;
    before.works().await;
    let next = Authority::new("next");
    write(&site.path("client_ca"), &next.pem());
    write(&site.path("client_crl"), &next.revocations(&[]));
    assert_eq!(
        site.alert(site.config(Some(&fleet))).await,
        AlertDescription::UnknownCA
    );
    cut(before).await;
    let fleet = next.issue(Names::common("fleet"));
    site.client(&fleet).await.connect().await.works().await;
    site.stop().await;
}
