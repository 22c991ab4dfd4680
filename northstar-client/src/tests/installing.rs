//! Installs.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use northstar_api::{Error, Request};
use tokio::time;

use super::peer::{DEADLINE, Peer, connected};
use crate::{Client, Disconnected, RequestError};

const OK: &str = r#"{"response":{"install":{"ok":{"container":"a:0.0.1"}}}}"#;
const DUPLICATE: &str =
    r#"{"response":{"install":{"error":{"error":{"install_duplicate":{"container":"a:0.0.1"}}}}}}"#;
/// More than any socket buffers.
const LARGE: usize = 16 * 1024 * 1024;

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|i| (i % 251) as u8).collect()
}

async fn install(client: &Client, body: &'static [u8], size: u64) -> Result<String, RequestError> {
    let result = client.install("r", size, body, |_| {});
    let container = time::timeout(DEADLINE, result).await.expect("stuck")?;
    Ok(container.to_string())
}

async fn list_works(client: &Client, peer: &mut Peer) {
    let (list, ()) = tokio::join!(client.list(), async {
        assert_eq!(peer.line().await, r#"{"request":"list"}"#);
        peer.say(r#"{"response":{"list":[]}}"#).await;
    });
    assert_eq!(list.unwrap(), []);
}

async fn reason(client: &Client) -> Arc<Disconnected> {
    match client.list().await {
        Err(RequestError::Closed(reason)) => reason,
        other => panic!("not closed: {other:?}"),
    }
}

#[tokio::test]
async fn a_file_is_sent_byte_for_byte_and_the_connection_goes_on() {
    let (client, mut peer) = connected(None).await;
    let package = bytes(200_000);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npk");
    std::fs::write(&path, &package).unwrap();
    let seen = Arc::new(AtomicU64::new(0));
    let progress = {
        let seen = Arc::clone(&seen);
        move |sent| assert!(seen.swap(sent, Ordering::Relaxed) < sent)
    };
    let (container, ()) = tokio::join!(client.install_file("r", &path, progress), async {
        let request = r#"{"request":{"install":{"repository":"r","size":200000}}}"#;
        assert_eq!(peer.line().await, request);
        assert!(peer.raw(200_000).await == package);
        peer.say(OK).await;
    });
    assert_eq!(container.unwrap().to_string(), "a:0.0.1");
    assert_eq!(seen.load(Ordering::Relaxed), 200_000);
    list_works(&client, &mut peer).await;
}

#[tokio::test]
async fn a_refusal_after_the_whole_package_leaves_the_connection_usable() {
    let (client, mut peer) = connected(None).await;
    let (result, ()) = tokio::join!(install(&client, b"package", 7), async {
        peer.line().await;
        assert_eq!(peer.raw(7).await, b"package");
        peer.say(DUPLICATE).await;
    });
    assert!(matches!(
        result,
        Err(RequestError::Server(Error::InstallDuplicate { .. }))
    ));
    list_works(&client, &mut peer).await;
}

#[tokio::test]
async fn no_more_than_the_announced_size_is_sent() {
    let (client, mut peer) = connected(None).await;
    let (result, ()) = tokio::join!(install(&client, b"package and more", 7), async {
        peer.line().await;
        assert_eq!(peer.raw(7).await, b"package");
        peer.say(OK).await;
    });
    result.unwrap();
    list_works(&client, &mut peer).await;
}

#[tokio::test]
async fn a_server_that_refuses_at_once_and_does_not_read() {
    let (client, mut peer) = connected(None).await;
    let body: &'static [u8] = bytes(LARGE).leak();
    let size = u64::try_from(LARGE).unwrap();
    let (result, ()) = tokio::join!(install(&client, body, size), async {
        peer.line().await;
        peer.say(DUPLICATE).await;
    });
    assert!(matches!(
        result,
        Err(RequestError::Server(Error::InstallDuplicate { .. }))
    ));
    assert!(matches!(
        *reason(&client).await,
        Disconnected::InstallRefused
    ));
    assert!(peer.drain().await < LARGE);
}

#[tokio::test]
async fn a_server_that_refuses_at_once_and_closes() {
    let (client, mut peer) = connected(None).await;
    let body: &'static [u8] = bytes(LARGE).leak();
    let size = u64::try_from(LARGE).unwrap();
    let (result, ()) = tokio::join!(install(&client, body, size), async {
        peer.line().await;
        peer.raw(1000).await;
        peer.say(DUPLICATE).await;
        drop(peer);
    });
    match result {
        Err(RequestError::Server(Error::InstallDuplicate { .. })) => {}
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        *reason(&client).await,
        Disconnected::InstallRefused
    ));
}

#[tokio::test]
async fn a_body_that_ends_early_closes_the_connection() {
    let (client, mut peer) = connected(None).await;
    let (result, ()) = tokio::join!(install(&client, b"1234", 10), async {
        peer.line().await;
        assert_eq!(peer.drain().await, 4);
    });
    let Err(RequestError::Closed(reason)) = result else {
        panic!("{result:?}")
    };
    assert!(matches!(*reason, Disconnected::BodyTooShort { missing: 6 }));
}

#[tokio::test]
async fn a_body_that_fails_closes_the_connection() {
    let (client, mut peer) = connected(None).await;
    let broken = tokio_util::io::StreamReader::new(futures::stream::iter([
        Ok(bytes::Bytes::from_static(b"12")),
        Err(io::Error::from(io::ErrorKind::StorageFull)),
    ]));
    let (result, ()) = tokio::join!(client.install("r", 10, broken, |_| {}), async {
        peer.line().await;
        peer.drain().await;
    });
    let Err(RequestError::Closed(reason)) = result else {
        panic!("{result:?}")
    };
    let Disconnected::Body(error) = &*reason else {
        panic!("{reason:?}")
    };
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}

#[tokio::test]
async fn a_dropped_install_is_sent_to_its_end() {
    let (client, mut peer) = connected(None).await;
    let body: &'static [u8] = bytes(LARGE).leak();
    let size = u64::try_from(LARGE).unwrap();
    tokio::select! {
        biased;
        result = install(&client, body, size) => panic!("nobody answered yet: {result:?}"),
        _ = peer.line() => {}
    }
    let (ident, ()) = tokio::join!(client.ident(), async {
        assert!(peer.raw(LARGE).await == body);
        peer.say(OK).await;
        assert_eq!(peer.line().await, r#"{"request":"ident"}"#);
        peer.say(r#"{"response":{"ident":"b:0.0.2"}}"#).await;
    });
    assert_eq!(ident.unwrap().to_string(), "b:0.0.2");
}

#[tokio::test]
async fn a_file_that_is_not_there() {
    let (client, mut peer) = connected(None).await;
    let path = std::path::Path::new("/nowhere/a.npk");
    let error = client.install_file("r", path, |_| {}).await.unwrap_err();
    assert!(matches!(error, RequestError::Package { path: p, .. } if p == path));
    list_works(&client, &mut peer).await;
}

/// What follows would be taken for the package.
#[tokio::test]
async fn an_install_without_a_package_ends_the_connection() {
    let (client, mut peer) = connected(None).await;
    let request = Request::Install {
        repository: "r".to_owned(),
        size: 5,
    };
    let answer = time::timeout(DEADLINE, client.request(request)).await;
    match answer.expect("stuck") {
        Err(RequestError::Closed(reason)) => {
            assert!(matches!(*reason, Disconnected::BodyTooShort { missing: 5 }));
        }
        other => panic!("{other:?}"),
    }
    peer.line().await;
    assert_eq!(peer.drain().await, 0);
}

/// The server is asked for nothing: a request whose bytes cannot be read would cost the connection.
#[tokio::test]
async fn what_is_no_regular_file_is_not_sent() {
    let (client, mut peer) = connected(None).await;
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
    for path in [dir.path(), &pipe] {
        let install = client.install_file("r", path, |_| {});
        match time::timeout(DEADLINE, install).await.expect("stuck") {
            Err(RequestError::Package { path: named, .. }) => assert_eq!(named, path),
            other => panic!("{other:?}"),
        }
    }
    list_works(&client, &mut peer).await;
}
