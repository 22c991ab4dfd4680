//! A server that says what a test tells it to.

use std::time::Duration;

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
};

use crate::{Client, Options};

/// No test waits longer than this for anything.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// The server's end of a connection.
pub struct Peer(BufReader<UnixStream>);

impl Peer {
    pub fn new(stream: UnixStream) -> Peer {
        Peer(BufReader::new(stream))
    }

    /// The next line, without its end.
    pub async fn line(&mut self) -> String {
        let mut line = String::new();
        tokio::time::timeout(DEADLINE, self.0.read_line(&mut line))
            .await
            .unwrap()
            .unwrap();
        line.strip_suffix('\n')
            .unwrap_or_else(|| panic!("no line end: {line:?}"))
            .to_owned()
    }

    /// Exactly `count` raw bytes.
    pub async fn raw(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        tokio::time::timeout(DEADLINE, self.0.read_exact(&mut bytes))
            .await
            .unwrap()
            .unwrap();
        bytes
    }

    pub async fn say(&mut self, line: &str) {
        self.0
            .write_all(format!("{line}\n").as_bytes())
            .await
            .unwrap();
    }

    /// As `say`, to a client that may have closed.
    pub async fn say_if_open(&mut self, line: &str) {
        let _ = self.0.write_all(format!("{line}\n").as_bytes()).await;
    }

    /// Reads until the client closes and returns the number of bytes.
    pub async fn drain(&mut self) -> usize {
        let mut rest = Vec::new();
        tokio::time::timeout(DEADLINE, self.0.read_to_end(&mut rest))
            .await
            .unwrap()
            .unwrap()
    }
}

/// A connected client that keeps `notifications`, and its peer.
pub async fn connected(notifications: Option<usize>) -> (Client, Peer) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut peer = Peer::new(theirs);
    let serve = async {
        let connect = peer.line().await;
        let subscribe = notifications.is_some();
        let expected =
            format!(r#"{{"connect":{{"version":"0.9.2","subscribe_notifications":{subscribe}}}}}"#);
        assert_eq!(connect, expected);
        peer.say(r#"{"connect_ack":null}"#).await;
    };
    let options = Options {
        timeout: DEADLINE,
        notifications,
        ..Options::default()
    };
    let (client, ()) = tokio::join!(Client::from_stream(ours, options), serve);
    (client.unwrap(), peer)
}

/// What a server grants with these extensions, as a line.
pub fn granted(extensions: &str, instance: &str, sequence: u64, resumed: bool) -> String {
    format!(
        r#"{{"connect_ack":{{"extensions":[{extensions}],"instance":"{instance}","sequence":{sequence},"resumed":{resumed},"limits":{{"max_pending_requests":3}}}}}}"#
    )
}

/// A client that asked for everything and got `extensions`, with its peer.
pub async fn extended(extensions: &str) -> (Client, Peer) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut peer = Peer::new(theirs);
    let serve = async {
        let connect = r#"{"connect":{"version":"0.9.2","subscribe_notifications":true,"extensions":{"ids":true,"jobs":true,"sequence":true,"details":true}}}"#;
        assert_eq!(peer.line().await, connect);
        peer.say(&granted(extensions, "1a", 7, false)).await;
    };
    let options = Options::extended().with_notifications(8);
    let (client, ()) = tokio::join!(Client::from_stream(ours, options), serve);
    (client.unwrap(), peer)
}
