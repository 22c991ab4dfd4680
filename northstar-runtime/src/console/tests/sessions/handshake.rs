//! Who comes in, and who has to go.

use super::*;

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
