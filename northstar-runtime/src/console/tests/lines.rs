//! Long lines and answers: who fills its share of the memory for them delays nobody else.

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

/// Clients of one user ask for much, and the supervisor takes its time.
#[tokio::test]
async fn answers_of_an_origin_are_begun_only_when_there_is_memory_for_them() {
    const CLIENTS: usize = 8;
    const REQUESTS: usize = 32;
    const CONTAINERS: usize = 1000;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("console");
    let (handle, mut script) = script::script(4, &[]);
    let cancel = CancellationToken::new();
    let console = Console::new(handle, cancel.clone()).unwrap();
    let setup = setup();
    let listener = Listener {
        address: Address::Unix {
            path: path.clone(),
            mode: 0o600,
        },
        permissions: setup.permissions,
        peers: Vec::new(),
        limits: setup.limits,
        options: setup.options,
    };
    let _listening = console.listen(&[listener]).await.unwrap();
    let containers = vec![r#""app:1.0.0""#; CONTAINERS].join(",");
    let statistics = |id| {
        let request = format!(r#"{{"statistics":{{"containers":[{containers}]}}}}"#);
        format!("{{\"id\":{id},\"request\":{request}}}\n")
    };
    let lines: String = (0..REQUESTS).map(statistics).collect();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let (path, lines) = (path.clone(), lines.clone());
        clients.spawn(async move {
            let mut client = Client::new(UnixStream::connect(path).await.unwrap());
            client
                .send(&extensions::connect(
                    false,
                    r#"{"ids":true,"details":true}"#,
                ))
                .await;
            assert!(client.next().await.is_some());
            client.raw(lines.as_bytes()).await;
            let mut answered = 0;
            while answered < REQUESTS {
                let answer = client.next().await.unwrap();
                assert!(answer["response"]["statistics"].is_array(), "{answer}");
                answered += 1;
            }
        });
    }
    let mut replies = Vec::new();
    let mut patience = DEADLINE;
    while let Ok(asked) = timeout(patience, script.next()).await {
        let Some(Asked::Statistics(_, reply)) = asked else {
            panic!("{asked:?}");
        };
        replies.push(reply);
        patience = Duration::from_millis(500);
    }
    // What one container takes is more than its name.
    let least = CONTAINERS * 256;
    assert!(replies.len() > 1 && replies.len() * least < super::super::budget::SHARE);
    // When these are done it goes on, to the last one.
    let mut answered = replies.len();
    replies
        .drain(..)
        .for_each(|reply| drop(reply.send(vec![usage()])));
    while answered < CLIENTS * REQUESTS {
        let Some(Asked::Statistics(_, reply)) = timeout(DEADLINE, script.next()).await.unwrap()
        else {
            panic!("something else was asked");
        };
        drop(reply.send(vec![usage()]));
        answered += 1;
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    cancel.cancel();
}
