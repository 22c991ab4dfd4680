//! Long lines: who fills its share of the memory for them delays nobody else.

use super::*;
use std::net::SocketAddr;
use tokio::net::TcpSocket;

const LONGEST: usize = 8 * 1024 * 1024;

/// Lines of the largest size that can be allowed, and so much patience that whoever waits for them fails the test.
fn setup() -> Setup {
    let mut setup = Setup::default();
    setup.options.max_request_size = LONGEST;
    setup.options.stall_timeout = DEADLINE * 10;
    setup
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// All but the end of the longest line.
    async fn hog(&mut self) {
        self.raw(&vec![b' '; LONGEST - 1024]).await;
    }

    async fn long_line_is_served(&mut self) {
        let shared = "A".repeat(128 * 1024);
        let line = format!(r#"{{"token_create":{{"target":"x","shared":"{shared}"}}}}"#);
        let response = self.ask(&line).await;
        assert!(response["token"].is_string(), "{response}");
    }
}

#[tokio::test]
async fn a_container_does_not_delay_another() {
    let setup = setup();
    let options = setup.options.clone();
    let server = setup.start().await;
    let connect = |name| {
        let client = server.container(name, Permissions::full(), options.clone());
        client.connect()
    };
    let mut hogs = Vec::new();
    for name in ["a:1.0.0", "b:1.0.0", "c:1.0.0"] {
        let mut client = connect(name).await;
        client.hog().await;
        hogs.push(client);
    }
    connect("d:1.0.0").await.long_line_is_served().await;
    server.stop().await;
}

#[tokio::test]
async fn an_address_does_not_delay_another() {
    let server = setup().start().await;
    let address: SocketAddr = server.listening.urls[0]
        .strip_prefix("tcp://")
        .unwrap()
        .parse()
        .unwrap();
    let mut hogs = Vec::new();
    for _ in 0..3 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let client = Client::new(socket.connect(address).await.unwrap());
        let mut client = client.connect().await;
        // Only the first one gets that far.
        match hogs.is_empty() {
            true => client.hog().await,
            false => client.raw(&[b' '; 17 * 1024]).await,
        }
        hogs.push(client);
    }
    let mut other = server.tcp().await.connect().await;
    other.long_line_is_served().await;
    drop(hogs);
    server.stop().await;
}
