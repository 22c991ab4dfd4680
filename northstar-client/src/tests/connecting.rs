//! Connecting, the handshake and the end of a connection.

use std::{process::Stdio, time::Duration};

use futures::StreamExt;
use northstar_api::{Notification, codec::CodecError};
use tokio::{
    net::{TcpListener, UnixListener, UnixStream},
    process::Command,
};

use super::peer::{DEADLINE, Peer, connected};
use crate::{
    Client, ConnectError, Disconnected, Endpoint, EnvironmentError, Options, RequestError, VARIABLE,
};

/// What becomes of a handshake that the server answers with `answer` before it closes.
async fn answered(answer: &str) -> ConnectError {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let serve = async {
        let mut peer = Peer::new(theirs);
        peer.line().await;
        if !answer.is_empty() {
            peer.say(answer).await;
        }
    };
    let (client, ()) = tokio::join!(Client::from_stream(ours, Options::default()), serve);
    client.unwrap_err()
}

#[tokio::test]
async fn the_server_refuses() {
    let error = answered(r#"{"connect_nack":{"invalid_protocol_version":{"version":"1.2.3"}}}"#);
    let ConnectError::Version { version } = error.await else {
        panic!("not a version error")
    };
    assert_eq!(version.to_string(), "1.2.3");
    let error = answered(r#"{"connect_nack":"permission_denied"}"#).await;
    assert!(matches!(error, ConnectError::PermissionDenied));
}

#[tokio::test]
async fn the_server_makes_no_sense() {
    assert!(matches!(answered("").await, ConnectError::Closed));
    assert!(matches!(
        answered(r#"{"response":"shutdown"}"#).await,
        ConnectError::Unexpected
    ));
    let error = answered("220 ESMTP").await;
    assert!(matches!(
        error,
        ConnectError::Handshake(CodecError::Malformed { .. })
    ));
}

#[tokio::test]
async fn any_number_of_notifications_may_be_asked_for() {
    for count in [0, usize::MAX] {
        let (client, mut peer) = connected(Some(count)).await;
        let mut notifications = client.notifications();
        peer.say(r#"{"notification":"shutdown"}"#).await;
        let told = tokio::time::timeout(DEADLINE, notifications.next()).await;
        assert_eq!(told.unwrap(), Some(Ok(Notification::Shutdown)));
    }
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let options = Options {
        timeout: Duration::from_millis(20),
        ..Options::default()
    };
    let error = Client::from_stream(ours, options).await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout { timeout } if timeout.as_millis() == 20));
}

#[tokio::test]
async fn over_a_unix_socket_and_over_tcp() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a b.sock");
    let unix = UnixListener::bind(&path).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = tcp.local_addr().unwrap().port();
    let serve_unix = async {
        let mut peer = Peer::new(unix.accept().await.unwrap().0);
        peer.line().await;
        peer.say(r#"{"connect_ack":null}"#).await;
        assert_eq!(peer.line().await, r#"{"request":"list"}"#);
        peer.say(r#"{"response":{"list":["a:0.0.1"]}}"#).await;
    };
    let ask = async |endpoint: Endpoint| {
        let client = Client::connect(&endpoint, Options::default())
            .await
            .unwrap();
        client.list().await.unwrap()
    };
    let (list, ()) = tokio::join!(ask(Endpoint::Unix(path)), serve_unix);
    assert_eq!(list, ["a:0.0.1".parse().unwrap()]);

    let serve_tcp = async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = tcp.accept().await.unwrap();
        let mut buffer = [0; 1024];
        assert_ne!(stream.read(&mut buffer).await.unwrap(), 0);
        stream
            .write_all(b"{\"connect_ack\":null}\r\n")
            .await
            .unwrap();
        assert_ne!(stream.read(&mut buffer).await.unwrap(), 0);
        stream
            .write_all(b"{\"response\":{\"list\":[]}}\r\n")
            .await
            .unwrap();
    };
    let endpoint = format!("tcp://127.0.0.1:{port}").parse().unwrap();
    let (list, ()) = tokio::join!(ask(endpoint), serve_tcp);
    assert_eq!(list, []);
}

#[tokio::test]
async fn nobody_listens() {
    let dir = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::Unix(dir.path().join("none.sock"));
    let error = Client::connect(&endpoint, Options::default())
        .await
        .unwrap_err();
    let ConnectError::Unreachable {
        endpoint: tried,
        source,
    } = error
    else {
        panic!("not unreachable: {error:?}")
    };
    assert_eq!(tried, endpoint);
    assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
}

#[tokio::test]
async fn the_end_of_the_connection_reaches_requests_and_notifications() {
    let (client, mut peer) = connected(Some(10)).await;
    let mut notifications = client.notifications();
    let (answer, ()) = tokio::join!(client.list(), async {
        peer.line().await;
        drop(peer);
    });
    let closed = |error| match error {
        Err(RequestError::Closed(reason)) => reason,
        other => panic!("not closed: {other:?}"),
    };
    assert!(matches!(*closed(answer), Disconnected::ByServer));
    // And to whoever comes later.
    assert!(matches!(
        *closed(client.list().await),
        Disconnected::ByServer
    ));
    assert!(notifications.next().await.is_none());
    assert!(client.notifications().next().await.is_none());
}

#[tokio::test]
async fn what_the_server_must_not_send_closes_the_connection() {
    type Check = fn(&Disconnected) -> bool;
    let cases: [(&str, Check); 4] = [
        (r#"{"request":"list"}"#, |r| {
            matches!(r, Disconnected::OutOfPlace)
        }),
        (r#"{"connect_ack":null}"#, |r| {
            matches!(r, Disconnected::OutOfPlace)
        }),
        (r#"{"response":"dance"}"#, |r| {
            matches!(r, Disconnected::Read(CodecError::Malformed { .. }))
        }),
        // The first answers the request, the second answers nothing.
        (
            "{\"response\":{\"list\":[]}}\n{\"response\":{\"list\":[]}}",
            |r| matches!(r, Disconnected::OutOfPlace),
        ),
    ];
    for (line, is_expected) in cases {
        let (client, mut peer) = connected(None).await;
        let (_, ()) = tokio::join!(client.list(), async {
            peer.line().await;
            peer.say(line).await;
        });
        let reason = tokio::time::timeout(DEADLINE, client.ended())
            .await
            .unwrap();
        assert!(is_expected(&reason), "{line}: {reason:?}");
    }
}

#[tokio::test]
async fn dropping_the_client_closes_the_connection() {
    let (client, mut peer) = connected(None).await;
    drop(client);
    assert_eq!(peer.drain().await, 0);
}

/// The test runs itself again as a program that inherits a console.
#[tokio::test]
async fn the_console_of_a_container() {
    const NAME: &str = "tests::connecting::the_console_of_a_container";
    if std::env::var_os(VARIABLE).is_some() {
        let client = Client::from_env(Options::default()).await.unwrap();
        assert_eq!(client.ident().await.unwrap().to_string(), "me:1.2.3");
        // The descriptor has an owner now.
        let error = Client::from_env(Options::default()).await.unwrap_err();
        let ConnectError::Environment(EnvironmentError::Descriptor { number: 7, source }) = error
        else {
            panic!("taken twice: {error:?}")
        };
        assert_eq!(source.errno(), 16, "EBUSY");
        return;
    }
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    // The shell makes the inherited standard input descriptor 7.
    let child = Command::new("sh")
        .args(["-c", r#"exec "$0" --exact "$1" 7<&0 </dev/null"#])
        .arg(std::env::current_exe().unwrap())
        .arg(NAME)
        .env(VARIABLE, "7")
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
        .kill_on_drop(true)
        .output();
    let serve = async {
        let mut peer = Peer::new(UnixStream::from_std(ours).unwrap());
        peer.line().await;
        peer.say(r#"{"connect_ack":null}"#).await;
        assert_eq!(peer.line().await, r#"{"request":"ident"}"#);
        peer.say(r#"{"response":{"ident":"me:1.2.3"}}"#).await;
        assert_eq!(peer.drain().await, 0);
    };
    let (output, ()) = tokio::join!(child, serve);
    let output = output.unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

#[tokio::test]
async fn no_console_in_the_environment() {
    let run = async |value: Option<&str>| {
        const NAME: &str = "tests::connecting::no_console_in_the_environment";
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", NAME])
            .env("EXPECTED", value.unwrap_or("nothing"));
        value.map(|value| command.env(VARIABLE, value));
        command.output().await.unwrap()
    };
    let Some(expected) = std::env::var_os("EXPECTED") else {
        for value in [None, Some("seven"), Some("99"), Some("0"), Some("-1")] {
            let output = run(value).await;
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(
                output.status.success() && text.contains("1 passed"),
                "{value:?}: {text}"
            );
        }
        return;
    };
    let error = Client::from_env(Options::default()).await.unwrap_err();
    let ConnectError::Environment(error) = error else {
        panic!("{error:?}")
    };
    let is_expected = match expected.to_str().unwrap() {
        "nothing" => matches!(error, EnvironmentError::NotSet),
        "seven" => matches!(error, EnvironmentError::NotANumber { .. }),
        _ => matches!(error, EnvironmentError::Descriptor { .. }),
    };
    assert!(is_expected, "{expected:?}: {error:?}");
}
