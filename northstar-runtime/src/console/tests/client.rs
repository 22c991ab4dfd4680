//! A client, line by line.

use super::{CONNECT, DEADLINE, SUBSCRIBE, json, request};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    time::timeout,
};

/// A client that speaks lines.
pub(super) struct Client<S> {
    pub(super) stream: BufReader<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(super) fn new(stream: S) -> Client<S> {
        Client {
            stream: BufReader::new(stream),
        }
    }

    pub(super) async fn raw(&mut self, bytes: &[u8]) {
        timeout(DEADLINE, self.stream.write_all(bytes))
            .await
            .unwrap()
            .unwrap();
    }

    pub(super) async fn send(&mut self, line: &str) {
        self.raw(format!("{line}\n").as_bytes()).await;
    }

    /// The next message; `None` if the server has closed.
    pub(super) async fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        match timeout(DEADLINE, self.stream.read_line(&mut line))
            .await
            .unwrap()
        {
            Ok(0) => None,
            Ok(_) => Some(serde_json::from_str(&line).unwrap()),
            // What was not read by the server is reset.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("{error}"),
        }
    }

    pub(super) async fn expect(&mut self, message: &str) {
        assert_eq!(self.next().await, Some(json(message)));
    }

    pub(super) async fn closed(&mut self) {
        assert_eq!(self.next().await, None);
    }

    pub(super) async fn connect(mut self) -> Client<S> {
        self.send(CONNECT).await;
        self.expect(r#"{"connect_ack":null}"#).await;
        self
    }

    pub(super) async fn subscribe(mut self) -> Client<S> {
        self.send(SUBSCRIBE).await;
        self.expect(r#"{"connect_ack":null}"#).await;
        self
    }

    /// One request and its response.
    pub(super) async fn ask(&mut self, line: &str) -> Value {
        self.send(&request(line)).await;
        self.next().await.unwrap()["response"].take()
    }

    /// The connection works.
    pub(super) async fn works(&mut self) {
        assert_eq!(
            self.ask(r#""ident""#).await,
            json(r#"{"ident":"extern:0.0.0"}"#)
        );
    }
}
