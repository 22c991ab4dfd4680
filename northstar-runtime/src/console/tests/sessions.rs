//! Well-behaved clients.

use super::*;
use crate::supervisor::{ExitStatus, MemoryEvents};
use northstar_manifest::Permission;
use std::time::Instant;

#[tokio::test]
async fn the_handshake_answers_as_documented() {
    let setup = Setup {
        permissions: [Permission::Ident].into_iter().collect(),
        ..Setup::default()
    };
    let server = setup.start().await;
    let version = r#"{"connect_nack":{"invalid_protocol_version":{"version":"0.9.2"}}}"#;
    let denied = r#"{"connect_nack":"permission_denied"}"#;
    let table = [
        ("1.0.0", false, version),
        ("0.8.9", false, version),
        ("0.8.9", true, version),
        ("0.9.2", true, denied),
        ("0.9.7", true, denied),
    ];
    for (version, subscribe, nack) in table {
        let connect = format!(
            r#"{{"connect":{{"version":"{version}","subscribe_notifications":{subscribe}}}}}"#
        );
        let mut client = server.tcp().await;
        client.send(&connect).await;
        client.expect(nack).await;
        client.closed().await;
    }
    for version in ["0.9.0", "0.9.1", "0.9.2", "0.10.0"] {
        let connect = CONNECT.replace("0.9.2", version);
        let mut client = server.unix().await;
        client.send(&connect).await;
        client.expect(r#"{"connect_ack":null}"#).await;
        client.works().await;
    }
    server.stop().await;
}

#[tokio::test]
async fn anything_but_connect_first_closes_the_connection() {
    let server = Setup::default().start().await;
    let lines = [
        r#"{"request":"list"}"#,
        r#"{"connect_ack":null}"#,
        r#"{"notification":"shutdown"}"#,
        r#"{"connect":{"version":"nine","subscribe_notifications":false}}"#,
        r#"{"connect":{}}"#,
        "connect",
        "",
        "{",
        "\u{0}",
    ];
    for line in lines {
        let mut client = server.tcp().await;
        client.send(line).await;
        client.closed().await;
    }
    assert_eq!(server.asked(), Vec::<String>::new());
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_never_connects_is_closed_in_time() {
    let mut setup = Setup::default();
    setup.options.connect_timeout = Some(Duration::from_millis(100));
    let server = setup.start().await;
    let started = Instant::now();
    let mut silent = server.tcp().await;
    let mut halfway = server.unix().await;
    halfway.raw(br#"{"connect":"#).await;
    silent.closed().await;
    halfway.closed().await;
    assert!(started.elapsed() >= Duration::from_millis(100));
    server.stop().await;
}

#[tokio::test]
async fn every_request_is_answered_in_the_documented_shape() {
    let server = Setup::default().start().await;
    let mut client = server.tcp().await.connect().await;
    let table = [
        (r#""ident""#, r#"{"ident":"extern:0.0.0"}"#),
        (r#""list""#, r#"{"list":["app:1.0.0","lib:0.1.0"]}"#),
        (
            r#""repositories""#,
            r#"{"repositories":["default","deaf"]}"#,
        ),
        (
            r#"{"inspect":{"container":"gone:1.0.0"}}"#,
            r#"{"inspect":{"error":{"container":"gone:1.0.0","error":{"invalid_container":{"container":"gone:1.0.0"}}}}}"#,
        ),
        (
            r#"{"mount":{"containers":["app:1.0.0","gone:1.0.0"]}}"#,
            r#"{"mount":[{"ok":{"container":"app:1.0.0"}},{"error":{"container":"gone:1.0.0","error":{"invalid_container":{"container":"gone:1.0.0"}}}}]}"#,
        ),
        (r#"{"mount":{"containers":[]}}"#, r#"{"mount":[]}"#),
        (
            r#"{"umount":{"containers":["app:1.0.0"]}}"#,
            r#"{"umount":[{"ok":{"container":"app:1.0.0"}}]}"#,
        ),
        (
            r#"{"start":{"container":"app:1.0.0","init":null,"arguments":[],"environment":{}}}"#,
            r#"{"start":{"ok":{"container":"app:1.0.0"}}}"#,
        ),
        (
            r#"{"start":{"container":"gone:1.0.0"}}"#,
            r#"{"start":{"error":{"container":"gone:1.0.0","error":{"invalid_container":{"container":"gone:1.0.0"}}}}}"#,
        ),
        (
            r#"{"kill":{"container":"app:1.0.0","signal":15}}"#,
            r#"{"kill":{"ok":{"container":"app:1.0.0"}}}"#,
        ),
        (
            r#"{"uninstall":{"container":"app:1.0.0","wipe":false}}"#,
            r#"{"uninstall":{"ok":{"container":"app:1.0.0"}}}"#,
        ),
        (r#""shutdown""#, r#""shutdown""#),
    ];
    for (request, response) in table {
        assert_eq!(client.ask(request).await, json(response), "{request}");
    }
    server.stop().await;
}

#[tokio::test]
async fn inspect_tells_a_client_of_0_9_2_what_it_can_read_and_more_beside_it() {
    let server = Setup::default().start().await;
    let mut client = server.unix().await.connect().await;
    let response = client.ask(r#"{"inspect":{"container":"app:1.0.0"}}"#).await;
    let ok = &response["inspect"]["ok"];
    assert_eq!(ok["container"], "app:1.0.0");
    let data = &ok["data"];
    assert_eq!(data["manifest"]["name"], "app");
    // That version reads ids up to 65535.
    assert_eq!(
        (&data["manifest"]["uid"], &data["manifest"]["gid"]),
        (&1000.into(), &65535.into())
    );
    assert_eq!(data["manifest_changed"], json(r#"["gid"]"#));
    assert_eq!(data["repository"], "default");
    assert_eq!(data["mounted"], true);
    assert_eq!(data["process"]["pid"], 42);
    assert_eq!(data["process"]["uptime"], 1_000_000_000);
    assert!(data["process"]["statistics"]["memory"].is_object());
    assert_eq!(data["integrity"]["mode"], "full-read");
    assert_eq!(data["skipped"], json(r#"["/opt"]"#));
    server.stop().await;
}

#[tokio::test]
async fn what_a_request_carries_reaches_the_supervisor() {
    let server = Setup::default().start().await;
    let mut client = server.tcp().await.connect().await;
    let table = [
        (
            r#"{"start":{"container":"app:1.0.0","init":"<INIT>","arguments":["-a","b"],"environment":{"K":"V"}}}"#,
            r#"start app:1.0.0 Some("<INIT>") ["-a", "b"] {"K": "V"}"#,
        ),
        (
            r#"{"start":{"container":"app:1.0.0"}}"#,
            "start app:1.0.0 None [] {}",
        ),
        (
            r#"{"kill":{"container":"app:1.0.0","signal":-3}}"#,
            "kill app:1.0.0 -3",
        ),
        (
            r#"{"uninstall":{"container":"lib:0.1.0","wipe":true}}"#,
            "uninstall lib:0.1.0 true",
        ),
        (
            r#"{"uninstall":{"container":"lib:0.1.0","wipe":false}}"#,
            "uninstall lib:0.1.0 false",
        ),
        (
            r#"{"install":{"repository":"default","size":0}}"#,
            "install default 0",
        ),
    ];
    for (request, asked) in table {
        client.ask(request).await;
        assert_eq!(server.asked().last().map(String::as_str), Some(asked));
    }
    server.stop().await;
}

#[tokio::test]
async fn requests_are_answered_in_their_order_however_many_come_at_once() {
    let server = Setup::default().start().await;
    let mut client = server.tcp().await.connect().await;
    let name = |n: usize| format!("c{n}:0.0.1");
    let lines: String = (0..2000)
        .map(|n| {
            request(&format!(
                r#"{{"kill":{{"container":"{}","signal":1}}}}"#,
                name(n)
            )) + "\r\n"
        })
        .collect();
    client.raw(lines.as_bytes()).await;
    for n in 0..2000 {
        let message = client.next().await.unwrap();
        assert_eq!(message["response"]["kill"]["error"]["container"], name(n));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_has_said_all_still_gets_its_answers() {
    let server = Setup::default().start().await;
    let mut client = server.unix().await;
    let all = format!(
        "{CONNECT}\n{}\n{}\n",
        request(r#""ident""#),
        request(r#""list""#)
    );
    client.raw(all.as_bytes()).await;
    client.stream.get_mut().shutdown().await.unwrap();
    client.expect(r#"{"connect_ack":null}"#).await;
    client
        .expect(r#"{"response":{"ident":"extern:0.0.0"}}"#)
        .await;
    client
        .expect(r#"{"response":{"list":["app:1.0.0","lib:0.1.0"]}}"#)
        .await;
    client.closed().await;
    server.stop().await;
}

#[tokio::test]
async fn subscribers_are_told_everything_in_the_documented_shape() {
    let server = Setup::default().start().await;
    let mut subscriber = server.tcp().await.subscribe().await;
    let mut other = server.unix().await.connect().await;
    let app = container("app:1.0.0");
    let memory = MemoryEvents {
        oom: Some(1),
        oom_kill: Some(1),
        ..MemoryEvents::default()
    };
    let table = [
        (Event::Started(app.clone()), r#"{"started":"app:1.0.0"}"#),
        (
            exited(&app, ExitStatus::Exit(7)),
            r#"{"exit":["app:1.0.0",{"exit":{"code":7}}]}"#,
        ),
        (
            exited(&app, ExitStatus::Signalled(9)),
            r#"{"exit":["app:1.0.0",{"signalled":{"signal":9}}]}"#,
        ),
        (Event::Installed(app.clone()), r#"{"install":"app:1.0.0"}"#),
        (
            Event::Uninstalled(app.clone()),
            r#"{"uninstall":"app:1.0.0"}"#,
        ),
        (
            Event::CgroupMemory(app, memory),
            r#"{"c_group":["app:1.0.0",{"memory":{"low":null,"high":null,"max":null,"oom":1,"oom_kill":1}}]}"#,
        ),
        (Event::Shutdown, r#""shutdown""#),
    ];
    for (event, notification) in table {
        server.events.send(event);
        subscriber
            .expect(&format!("{{\"notification\":{notification}}}"))
            .await;
    }
    // Who has not subscribed is only answered.
    other.works().await;
    server.stop().await;
}

#[tokio::test]
async fn notifications_come_while_a_request_is_worked_on() {
    let (handle, mut script) = script::script(8);
    let cancel = CancellationToken::new();
    let console = Console::new(handle, cancel).unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let serve = async move {
        let options = ConnectionOptions::for_containers();
        console
            .serve_container(ours, container("me:0.0.1"), Permissions::full(), options)
            .await;
    };
    tokio::spawn(serve);
    let mut client = Client::new(theirs).subscribe().await;
    client
        .send(&request(r#"{"start":{"container":"app:1.0.0"}}"#))
        .await;
    let Some(Asked::Start(app, _, reply)) = script.next().await else {
        panic!("no start");
    };
    script.events.send(Event::Started(app));
    client
        .expect(r#"{"notification":{"started":"app:1.0.0"}}"#)
        .await;
    reply.send(Ok(())).unwrap();
    client
        .expect(r#"{"response":{"start":{"ok":{"container":"app:1.0.0"}}}}"#)
        .await;
}

#[tokio::test]
async fn a_subscriber_that_lost_notifications_is_disconnected() {
    let setup = Setup {
        events: 4,
        ..Setup::default()
    };
    let server = setup.start().await;
    let mut subscriber = server.tcp().await.subscribe().await;
    // Nothing else runs until all of these are sent.
    for _ in 0..5 {
        server.events.send(Event::Installed(container("app:1.0.0")));
    }
    subscriber.closed().await;
    server.tcp().await.connect().await.works().await;
    server.stop().await;
}

#[tokio::test]
async fn shutdown_is_answered_announced_and_done() {
    let server = Setup::default().start().await;
    let mut subscriber = server.tcp().await.subscribe().await;
    let mut client = server.unix().await.connect().await;
    client.send(&request(r#""shutdown""#)).await;
    client.expect(r#"{"response":"shutdown"}"#).await;
    subscriber.expect(r#"{"notification":"shutdown"}"#).await;
    assert_eq!(server.asked(), ["shutdown"]);
    let socket = server.socket();
    server.stop().await;
    client.closed().await;
    subscriber.closed().await;
    assert!(!socket.exists());
}

#[tokio::test]
async fn what_was_on_its_way_arrives_although_the_console_ends() {
    let server = Setup::default().start().await;
    let mut subscriber = server.tcp().await.subscribe().await;
    server.events.send(Event::Shutdown);
    server.cancel.cancel();
    subscriber.expect(r#"{"notification":"shutdown"}"#).await;
    subscriber.closed().await;
    server.stop().await;
}

#[tokio::test]
async fn too_many_requests_are_delayed_and_all_answered() {
    let mut setup = Setup::default();
    setup.options.max_requests_per_sec = 50.try_into().unwrap();
    let server = setup.start().await;
    let mut client = server.tcp().await.connect().await;
    let started = Instant::now();
    let lines = (request(r#""ident""#) + "\n").repeat(75);
    client.raw(lines.as_bytes()).await;
    for _ in 0..75 {
        client
            .expect(r#"{"response":{"ident":"extern:0.0.0"}}"#)
            .await;
    }
    // 51 pass at once, 24 follow at 50 per second.
    assert!(
        started.elapsed() >= Duration::from_millis(450),
        "{:?}",
        started.elapsed()
    );
    server.stop().await;
}

#[tokio::test]
async fn who_neither_subscribes_nor_speaks_is_closed_after_a_while() {
    let mut setup = Setup::default();
    setup.options.idle_timeout = Some(Duration::from_millis(100));
    let server = setup.start().await;
    let mut idle = server.tcp().await.connect().await;
    let mut subscriber = server.tcp().await.subscribe().await;
    idle.closed().await;
    server.events.send(Event::Shutdown);
    subscriber.expect(r#"{"notification":"shutdown"}"#).await;
    server.stop().await;
}

#[tokio::test]
async fn a_container_is_known_by_its_name_and_may_come_late() {
    let server = Setup::default().start().await;
    let options = ConnectionOptions::for_containers();
    let mut client = server
        .container("me:0.0.1", Permissions::full(), options)
        .connect()
        .await;
    assert_eq!(
        client.ask(r#""ident""#).await,
        json(r#"{"ident":"me:0.0.1"}"#)
    );
    server.stop().await;
}

#[tokio::test]
async fn a_token_is_confirmed_to_its_target_about_its_creator_only() {
    let server = Setup::default().start().await;
    let named = |name: &str| {
        let options = ConnectionOptions::for_containers();
        server
            .container(name, Permissions::full(), options)
            .connect()
    };
    let (mut alice, mut bob, mut eve) =
        tokio::join!(named("alice:1.0.0"), named("bob:1.0.0"), named("eve:1.0.0"));
    let create = r#"{"token_create":{"target":"bob","shared":"c2VjcmV0"}}"#;
    let token = alice.ask(create).await["token"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(token.len(), 56);

    let verify = |user: &str, shared: &str| {
        format!(r#"{{"token_verify":{{"token":"{token}","user":"{user}","shared":"{shared}"}}}}"#)
    };
    let ok = json(r#"{"token_verification":"Ok"}"#);
    let invalid = json(r#"{"token_verification":"Invalid"}"#);
    for _ in 0..2 {
        assert_eq!(bob.ask(&verify("alice", "c2VjcmV0")).await, ok);
    }
    assert_eq!(bob.ask(&verify("alice", "b3RoZXI=")).await, invalid);
    assert_eq!(bob.ask(&verify("eve", "c2VjcmV0")).await, invalid);
    assert_eq!(eve.ask(&verify("alice", "c2VjcmV0")).await, invalid);
    assert_eq!(alice.ask(&verify("alice", "c2VjcmV0")).await, invalid);
    // A client outside of all containers is `extern` and nobody else.
    let mut outside = server.unix().await.connect().await;
    assert_eq!(outside.ask(&verify("alice", "c2VjcmV0")).await, invalid);
    let create = r#"{"token_create":{"target":"extern","shared":""}}"#;
    let token = outside.ask(create).await["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let verify = format!(r#"{{"token_verify":{{"token":"{token}","user":"extern","shared":""}}}}"#);
    assert_eq!(server.tcp().await.connect().await.ask(&verify).await, ok);
    server.stop().await;
}
