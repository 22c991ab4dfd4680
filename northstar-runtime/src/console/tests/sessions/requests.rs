//! Requests and their answers.

use super::*;

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

/// The console of a container that may do everything.
async fn named(server: &Server, name: &str) -> Client<UnixStream> {
    let options = ConnectionOptions::for_containers();
    let client = server.container(name, Permissions::full(), options);
    client.connect().await
}

#[tokio::test]
async fn a_token_is_confirmed_to_its_target_about_its_creator_only() {
    let server = Setup::default().start().await;
    let (mut alice, mut bob, mut eve) = tokio::join!(
        named(&server, "alice:1.0.0"),
        named(&server, "bob:1.0.0"),
        named(&server, "eve:1.0.0")
    );
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

/// Anybody whose package is accepted can call it so.
#[tokio::test]
async fn a_container_called_extern_is_none_of_the_clients_outside() {
    let server = Setup::default().start().await;
    let (mut false_extern, mut app) =
        tokio::join!(named(&server, "extern:0.0.0"), named(&server, "app:1.0.0"));
    let mut outside = server.unix().await.connect().await;
    let ok = json(r#"{"token_verification":"Ok"}"#);
    let invalid = json(r#"{"token_verification":"Invalid"}"#);
    let verify = |token: &Value, user: &str| {
        let token = token["token"].as_str().unwrap();
        format!(r#"{{"token_verify":{{"token":"{token}","user":"{user}","shared":""}}}}"#)
    };
    let for_app = r#"{"token_create":{"target":"app","shared":""}}"#;
    let forged = false_extern.ask(for_app).await;
    assert_eq!(app.ask(&verify(&forged, "extern")).await, invalid);
    let token = outside.ask(for_app).await;
    assert_eq!(app.ask(&verify(&token, "extern")).await, ok);

    let for_outside = r#"{"token_create":{"target":"extern","shared":""}}"#;
    let token = app.ask(for_outside).await;
    assert_eq!(outside.ask(&verify(&token, "app")).await, ok);
    assert_eq!(false_extern.ask(&verify(&token, "app")).await, invalid);
    server.stop().await;
}

#[tokio::test]
async fn a_token_of_another_length_is_answered_and_invalid() {
    let server = Setup::default().start().await;
    let mut client = server.unix().await.connect().await;
    let longer = "A".repeat(4096);
    for token in ["", "AAAA", &longer] {
        let verify =
            format!(r#"{{"token_verify":{{"token":"{token}","user":"app","shared":""}}}}"#);
        assert_eq!(
            client.ask(&verify).await,
            json(r#"{"token_verification":"Invalid"}"#)
        );
    }
    client.works().await;
    server.stop().await;
}
