//! Clients that mean no good, and shortages.

use super::*;
use crate::config::Peer;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{os::fd::OwnedFd, time::Instant};

#[tokio::test]
async fn whatever_a_client_sends_only_its_own_connection_ends() {
    let mut setup = Setup::default();
    setup.options.max_request_size = 4096;
    let server = setup.start().await;
    let mut good = server.unix().await.connect().await;
    let deep = format!("{{\"request\":{}", "[".repeat(4000));
    let lines: [&[u8]; 14] = [
        b"\n",
        b"null\n",
        b"{}\n",
        b"\xff\xfe\n",
        b"{\"request\":\"dance\"}\n",
        b"{\"request\":\"list\",\"more\":1}\n",
        b"{\"id\":1,\"request\":\"list\"}\n",
        b"{\"request\":{\"kill\":{\"container\":\"../..:1.0.0\",\"signal\":9}}}\n",
        b"{\"request\":{\"kill\":{\"container\":\"app:1.0.0\",\"signal\":99999999999}}}\n",
        b"{\"request\":{\"install\":{\"repository\":\"default\",\"size\":-1}}}\n",
        b"{\"response\":\"shutdown\"}\n",
        b"{\"connect\":{\"version\":\"0.9.2\",\"subscribe_notifications\":true}}\n",
        &[b'x'; 5000],
        deep.as_bytes(),
    ];
    for line in lines {
        let mut client = server.tcp().await.connect().await;
        client.raw(line).await;
        client.stream.get_mut().shutdown().await.unwrap();
        client.closed().await;
        good.works().await;
    }
    assert_eq!(server.asked(), Vec::<String>::new());
    server.stop().await;
}

#[tokio::test]
async fn a_line_of_ten_megabytes_is_cut_at_the_limit() {
    let server = Setup::default().start().await;
    let mut client = server.tcp().await.connect().await;
    let chunk = vec![b' '; 64 * 1024];
    let mut sent = 0;
    // The server stops reading at 1 MiB; what the sockets hold comes on top.
    while sent < 100 << 20 && client.stream.write_all(&chunk).await.is_ok() {
        sent += chunk.len();
    }
    assert!(sent < 100 << 20);
    server.tcp().await.connect().await.works().await;
    server.stop().await;
}

#[tokio::test]
async fn a_line_as_long_as_it_may_be_is_served() {
    let server = Setup::default().start().await;
    let mut client = server.tcp().await.connect().await;
    let empty = request(r#"{"token_create":{"target":"x","shared":""}}"#);
    let shared = "A".repeat(((1 << 20) - empty.len()) / 4 * 4);
    let line = empty.replace("\"shared\":\"\"", &format!("\"shared\":\"{shared}\""));
    client.send(&line).await;
    let response = client.next().await.unwrap();
    assert!(response["response"]["token"].is_string(), "{response}");
    server.stop().await;
}

#[tokio::test]
async fn a_request_about_too_many_containers_is_not_served() {
    let server = Setup::default().start().await;
    let mut client = server.tcp().await.connect().await;
    for verb in ["mount", "umount"] {
        let ask = |count: usize| {
            let containers = vec![r#""app:1.0.0""#; count].join(",");
            format!(r#"{{"{verb}":{{"containers":[{containers}]}}}}"#)
        };
        let answer = client.ask(&ask(1024)).await;
        assert_eq!(answer[verb].as_array().unwrap().len(), 1024);
        server.record.lock().unwrap().asked.clear();
        let answer = client.ask(&ask(1025)).await;
        let cause = "1025 containers in one request are too many (at most 1024)";
        let refused = serde_json::json!([{"error": {
            "container": "app:1.0.0", "error": {"invalid_arguments": {"cause": cause}}
        }}]);
        assert_eq!(answer[verb], refused);
        assert_eq!(server.asked(), Vec::<String>::new());
    }
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_never_reads_is_disconnected() {
    let mut setup = Setup::default();
    setup.options.stall_timeout = Duration::from_millis(200);
    let server = setup.start().await;
    let mut good = server.unix().await.connect().await;
    let mut client = server.tcp().await.connect().await;
    let lines = (request(r#"{"inspect":{"container":"app:1.0.0"}}"#) + "\n").repeat(1000);
    let flood = async { while client.stream.write_all(lines.as_bytes()).await.is_ok() {} };
    timeout(DEADLINE, flood).await.unwrap();
    good.works().await;
    server.stop().await;
}

#[tokio::test]
async fn a_half_sent_line_is_not_waited_for() {
    let mut setup = Setup::default();
    setup.options.stall_timeout = Duration::from_millis(100);
    let server = setup.start().await;
    let mut client = server.tcp().await.connect().await;
    client.raw(br#"{"request":"#).await;
    client.closed().await;
    server.stop().await;
}

#[tokio::test]
async fn silent_connections_make_place_for_new_ones_oldest_first() {
    let mut setup = Setup::default();
    setup.limits.max_pending_connections = 8;
    let server = setup.start().await;
    let mut established = server.tcp().await.connect().await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(server.tcp().await);
    }
    for client in &mut silent[..32] {
        client.closed().await;
    }
    established.works().await;
    server.tcp().await.connect().await.works().await;
    // The newest are still welcome.
    for client in silent.drain(..).skip(33) {
        client.connect().await.works().await;
    }
    server.stop().await;
}

#[tokio::test]
async fn connections_are_limited_in_total_and_per_peer() {
    let mut setup = Setup::default();
    setup.limits.max_connections = 3;
    let server = setup.clone().start().await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(server.tcp().await.connect().await);
    }
    let mut one_more = server.tcp().await;
    one_more.send(CONNECT).await;
    one_more.closed().await;
    // Another listener has places of its own.
    server.unix().await.connect().await.works().await;
    clients.pop();
    let reconnect = async {
        loop {
            let mut client = server.tcp().await;
            client.send(CONNECT).await;
            if client.next().await.is_some() {
                return client;
            }
        }
    };
    timeout(DEADLINE, reconnect).await.unwrap().works().await;
    for client in &mut clients {
        client.works().await;
    }
    server.stop().await;

    setup.limits.max_connections = 100;
    setup.limits.max_connections_per_peer = 2;
    let server = setup.start().await;
    let _first = server.unix().await.connect().await;
    let _second = server.unix().await.connect().await;
    let mut third = server.unix().await;
    third.send(CONNECT).await;
    third.closed().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_connections_work_at_once() {
    let server = Arc::new(Setup::default().start().await);
    let barrier = Arc::new(tokio::sync::Barrier::new(200));
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..200 {
        let (server, barrier) = (Arc::clone(&server), Arc::clone(&barrier));
        tasks.spawn(async move {
            async fn all<S: AsyncRead + AsyncWrite + Unpin>(
                client: Client<S>,
                barrier: Arc<tokio::sync::Barrier>,
            ) {
                // All are open before the first one speaks, and connected before the first one leaves.
                barrier.wait().await;
                let mut client = client.connect().await;
                for _ in 0..10 {
                    client.works().await;
                }
                barrier.wait().await;
            }
            match index % 2 {
                0 => all(server.tcp().await, barrier).await,
                _ => all(server.unix().await, barrier).await,
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    Arc::into_inner(server).unwrap().stop().await;
}

#[tokio::test]
async fn the_user_of_a_process_decides_what_it_may_do() {
    let directory = tempfile::tempdir().unwrap();
    let (handle, script) = script::script(4, &repositories());
    tokio::spawn(play(script, Arc::default()));
    let cancel = CancellationToken::new();
    let console = Console::new(handle, cancel.clone()).unwrap();
    let uid = rustix::process::geteuid().as_raw();
    let peer = |uid, permissions| Peer {
        uid: Some(uid),
        gid: None,
        permissions,
    };
    for (uid, expected) in [
        (uid, json(r#"{"ident":"extern:0.0.0"}"#)),
        (uid + 1, json(r#"{"permission_denied":"ident"}"#)),
    ] {
        let path = directory.path().join(format!("{uid}"));
        let listener = Listener {
            address: Address::Unix {
                path: path.clone(),
                mode: 0o600,
            },
            permissions: Permissions::none(),
            peers: vec![peer(uid, Permissions::full())],
            limits: ListenerOptions::default(),
            options: ConnectionOptions::default(),
        };
        let _listening = console.listen(&[listener]).await.unwrap();
        let mut client = Client::new(UnixStream::connect(path).await.unwrap())
            .connect()
            .await;
        assert_eq!(client.ask(r#""ident""#).await, expected);
    }
    cancel.cancel();
}

/// The limit is the process's: the test runs itself in one of its own.
#[test]
fn a_listener_survives_a_shortage_of_descriptors() {
    const ALONE: &str = "CONSOLE_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        return runtime.block_on(shortage());
    }
    let name = std::thread::current().name().unwrap().to_owned();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--nocapture", "--test-threads=1"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains("1 passed"), "{text}");
}

async fn shortage() {
    let server = Setup::default().start().await;
    let mut established = server.tcp().await.connect().await;
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = |current| setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
    limit(Some(256));
    // A connection needs two descriptors here, one at each end: the client's is made before there are none left.
    let mut waiting = Vec::new();
    let mut hoard: Vec<OwnedFd> = Vec::new();
    for _ in 0..4 {
        let socket = rustix::net::socket(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::STREAM,
            None,
        );
        waiting.push(socket.unwrap());
    }
    while let Ok(descriptor) = std::fs::File::open("/dev/null") {
        hoard.push(descriptor.into());
    }
    let address = rustix::net::SocketAddrUnix::new(server.socket()).unwrap();
    for socket in &waiting {
        rustix::net::connect(socket, &address).unwrap();
    }
    // The listener fails to accept them, more than once, and what is established goes on.
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(200) {
        established.works().await;
    }
    drop(hoard);
    for socket in waiting {
        let stream = std::os::unix::net::UnixStream::from(socket);
        stream.set_nonblocking(true).unwrap();
        Client::new(UnixStream::from_std(stream).unwrap())
            .connect()
            .await
            .works()
            .await;
    }
    server.unix().await.connect().await.works().await;
    limit(maximum);
    server.stop().await;
}

#[tokio::test]
async fn connections_of_one_peer_share_its_turns_and_containers_have_their_own() {
    let server = Setup::default().start().await;
    let inspect = r#"{"inspect":{"container":"app:1.0.0"}}"#;
    let mut tcp = [server.tcp().await, server.tcp().await];
    let mut unix = [
        server.unix().await,
        server.unix().await,
        server.container(
            "one:1.0.0",
            Permissions::full(),
            ConnectionOptions::default(),
        ),
        server.container(
            "two:1.0.0",
            Permissions::full(),
            ConnectionOptions::default(),
        ),
    ];
    for client in &mut tcp {
        client.send(CONNECT).await;
        client.expect(r#"{"connect_ack":null}"#).await;
    }
    for client in &mut unix {
        client.send(CONNECT).await;
        client.expect(r#"{"connect_ack":null}"#).await;
    }
    for _ in 0..2 {
        for client in &mut tcp {
            assert!(client.ask(inspect).await["inspect"]["ok"].is_object());
        }
        for client in &mut unix {
            assert!(client.ask(inspect).await["inspect"]["ok"].is_object());
        }
    }
    let askers = server.record.lock().unwrap().askers.clone();
    assert_eq!(askers.len(), 12);
    let origins = ["address", "address", "user", "user", "one", "two"];
    for (first, second) in (0..12).flat_map(|first| (0..12).map(move |second| (first, second))) {
        let (a, b) = (&askers[first], &askers[second]);
        let same_origin = origins[first % 6] == origins[second % 6];
        assert_eq!(a.is_of_origin(b), same_origin, "{first} {second}");
        assert_eq!(a.is(b), first % 6 == second % 6, "{first} {second}");
    }
    server.stop().await;
}
