//! A console over TLS, and how its clients connect.

use super::authority::{Authority, Identity, Names};
use crate::{
    config::{Address, ConnectionOptions, Listener, ListenerOptions, SubjectPeer, Tls},
    console::{
        Console, Listening,
        tests::{CONNECT, Client, DEADLINE, Record, play, repositories},
    },
    supervisor::script::{self, Publisher},
};
use northstar_manifest::{Permission, Permissions};
use rustls::{AlertDescription, ClientConfig, RootCertStore, crypto::ring};
use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

/// A console over TLS, with the authority of its clients.
pub(super) struct Site {
    pub(super) listening: Listening,
    cancel: CancellationToken,
    pub(super) events: Publisher,
    pub(super) record: Arc<Mutex<Record>>,
    directory: tempfile::TempDir,
    pub(super) server: Authority,
    pub(super) clients: Authority,
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
    pub(super) async fn start() -> Site {
        Site::with(ListenerOptions::default(), ConnectionOptions::default()).await
    }

    pub(super) async fn with(limits: ListenerOptions, options: ConnectionOptions) -> Site {
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

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) async fn tcp(&self) -> TcpStream {
        let address = self.listening.urls[0].strip_prefix("tls://").unwrap();
        TcpStream::connect(address).await.unwrap()
    }

    /// How a client of this console is set up.
    pub(super) fn config(&self, identity: Option<&Identity>) -> ClientConfig {
        self.config_with(identity, &[&rustls::version::TLS13])
    }

    pub(super) fn config_with(
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

    pub(super) async fn connect(&self, config: ClientConfig) -> io::Result<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(Arc::new(config));
        let name = "localhost".try_into().unwrap();
        let connected = connector.connect(name, self.tcp().await);
        timeout(DEADLINE, connected).await.unwrap()
    }

    /// A client that gets in.
    pub(super) async fn client(&self, identity: &Identity) -> Client<TlsStream<TcpStream>> {
        Client::new(self.connect(self.config(Some(identity))).await.unwrap())
    }

    /// The alert that a client gets which does not get in.
    pub(super) async fn alert(&self, config: ClientConfig) -> AlertDescription {
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
    pub(super) async fn works(&self) {
        let fleet = self.clients.issue(Names::common("fleet"));
        let mut client = self.client(&fleet).await.connect().await;
        client.works().await;
    }

    pub(super) async fn stop(mut self) {
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
pub(super) async fn cut(client: Client<TlsStream<TcpStream>>) {
    let mut stream = client.stream;
    let end = timeout(DEADLINE, stream.read(&mut [0; 1])).await.unwrap();
    let cut = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset];
    let error = end.unwrap_err();
    assert!(cut.contains(&error.kind()), "{error:?}");
}

/// Replaces a file at once, as certificates should be.
pub(super) fn write(path: &std::path::Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(new, path).unwrap();
}
