//! How sockets come and go.

use super::*;
use crate::{config::Tls, console::ListenError};
use std::{
    fs,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::UnixListener as StdUnixListener,
    },
    path::Path,
};

fn console() -> (Console, CancellationToken) {
    let (handle, script) = script::script(4, &repositories());
    tokio::spawn(play(script, Arc::default()));
    let cancel = CancellationToken::new();
    (Console::new(handle, cancel.clone()).unwrap(), cancel)
}

fn listener(address: Address) -> Listener {
    Listener {
        address,
        permissions: Permissions::full(),
        peers: Vec::new(),
        limits: ListenerOptions::default(),
        options: ConnectionOptions::default(),
    }
}

fn unix(path: &Path, mode: u32) -> Listener {
    listener(Address::Unix {
        path: path.to_owned(),
        mode,
    })
}

fn tcp(host: &str, port: u16) -> Listener {
    listener(Address::Tcp {
        host: host.to_owned(),
        port,
    })
}

async fn end(cancel: CancellationToken, mut listening: Listening) {
    cancel.cancel();
    while let Some(task) = timeout(DEADLINE, listening.tasks.join_next())
        .await
        .unwrap()
    {
        task.unwrap();
    }
}

#[tokio::test]
async fn a_socket_has_exactly_its_mode_and_goes_with_its_listener() {
    let directory = tempfile::tempdir().unwrap();
    for mode in [0o600, 0o660, 0o777] {
        let (console, cancel) = console();
        let path = directory.path().join(format!("new/{mode:o}/console"));
        let listening = console.listen(&[unix(&path, mode)]).await.unwrap();
        let file = fs::metadata(&path).unwrap();
        assert!(file.file_type().is_socket());
        assert_eq!(file.permissions().mode() & 0o7777, mode);
        assert_eq!(listening.urls, [format!("unix://{}", path.display())]);
        end(cancel, listening).await;
        assert!(!path.exists());
    }
}

#[tokio::test]
async fn a_stale_socket_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("console");
    drop(StdUnixListener::bind(&path).unwrap());
    // Its inode is not given to another file while it has a name.
    fs::hard_link(&path, directory.path().join("stale")).unwrap();
    let stale = fs::metadata(&path).unwrap().ino();
    let (console, cancel) = console();
    let listening = console.listen(&[unix(&path, 0o600)]).await.unwrap();
    assert_ne!(fs::metadata(&path).unwrap().ino(), stale);
    Client::new(UnixStream::connect(&path).await.unwrap())
        .connect()
        .await
        .works()
        .await;
    end(cancel, listening).await;
}

#[tokio::test]
async fn what_is_not_a_stale_socket_stays() {
    let directory = tempfile::tempdir().unwrap();
    let (console, _cancel) = console();

    let file = directory.path().join("file");
    fs::write(&file, "precious").unwrap();
    let link = directory.path().join("link");
    std::os::unix::fs::symlink("nowhere", &link).unwrap();
    for path in [&file, &link] {
        match console.listen(&[unix(path, 0o600)]).await {
            Err(ListenError::NoSocket { path: named }) => assert_eq!(&named, path),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");

    let live = directory.path().join("live");
    let other = StdUnixListener::bind(&live).unwrap();
    match console.listen(&[unix(&live, 0o600)]).await {
        Err(ListenError::InUse { path }) => assert_eq!(path, live),
        other => panic!("{other:?}"),
    }
    std::os::unix::net::UnixStream::connect(&live).unwrap();
    drop(other);
}

#[tokio::test]
async fn a_socket_that_somebody_else_put_there_is_not_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("console");
    let (console, cancel) = console();
    let listening = console.listen(&[unix(&path, 0o600)]).await.unwrap();
    let aside = directory.path().join("aside");
    fs::rename(&path, &aside).unwrap();
    let _other = StdUnixListener::bind(&path).unwrap();
    end(cancel, listening).await;
    assert!(path.exists());
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let (console, _cancel) = console();
    let path = Path::new("/proc/northstar/console");
    match console.listen(&[unix(path, 0o600)]).await {
        Err(ListenError::Unix {
            operation,
            path: named,
            source,
        }) => {
            assert_eq!(operation, "create the directory of");
            assert_eq!(named, path);
            assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_address_of_a_host_is_bound_to_the_same_port() {
    let (console, cancel) = console();
    let listening = console.listen(&[tcp("localhost", 0)]).await.unwrap();
    assert!(!listening.urls.is_empty());
    let mut ports = Vec::new();
    for url in &listening.urls {
        let address: std::net::SocketAddr = url.strip_prefix("tcp://").unwrap().parse().unwrap();
        assert!(address.ip().is_loopback());
        ports.push(address.port());
        Client::new(TcpStream::connect(address).await.unwrap())
            .connect()
            .await
            .works()
            .await;
    }
    assert_ne!(ports[0], 0);
    assert!(ports.iter().all(|port| *port == ports[0]));
    end(cancel, listening).await;
}

#[tokio::test]
async fn tcp_addresses_that_cannot_be_served_are_refused() {
    let (console, cancel) = console();
    match console.listen(&[tcp("0.0.0.0", 0)]).await {
        Err(ListenError::NotLoopback { host, address }) => {
            assert_eq!(
                (host.as_str(), address.to_string().as_str()),
                ("0.0.0.0", "0.0.0.0")
            );
        }
        other => panic!("{other:?}"),
    }
    match console.listen(&[tcp("no such host", 1)]).await {
        Err(ListenError::Resolve { host, .. }) => assert_eq!(host, "no such host"),
        other => panic!("{other:?}"),
    }
    let listening = console.listen(&[tcp("127.0.0.1", 0)]).await.unwrap();
    let taken: std::net::SocketAddr = listening.urls[0]
        .strip_prefix("tcp://")
        .unwrap()
        .parse()
        .unwrap();
    match console.listen(&[tcp("127.0.0.1", taken.port())]).await {
        Err(ListenError::Tcp { address, source }) => {
            assert_eq!(address, taken);
            assert_eq!(source.kind(), std::io::ErrorKind::AddrInUse);
        }
        other => panic!("{other:?}"),
    }
    end(cancel, listening).await;
}

#[tokio::test]
async fn nothing_is_served_if_one_address_cannot_be() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("console");
    let (console, _cancel) = console();
    let listeners = [unix(&path, 0o600), tcp("0.0.0.0", 0)];
    match console.listen(&listeners).await {
        Err(ListenError::NotLoopback { .. }) => {}
        other => panic!("{other:?}"),
    }
    assert!(!path.exists());
}

#[tokio::test]
async fn nothing_is_served_if_a_file_of_one_console_cannot_be_used() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("console");
    let missing = directory.path().join("missing");
    let tls = listener(Address::Tls(Box::new(Tls {
        host: "127.0.0.1".to_owned(),
        port: 0,
        cert: missing.clone(),
        key: missing.clone(),
        client_ca: missing,
        client_crl: None,
        peers: Vec::new(),
    })));
    let (console, _cancel) = console();
    let error = console
        .listen(&[unix(&path, 0o600), tls])
        .await
        .unwrap_err();
    assert!(matches!(error, ListenError::Tls { .. }), "{error:?}");
    assert!(!path.exists());
}
