//! What clients get that ask for more than protocol 0.9.2, against a supervisor that answers when the test says so.

mod details;
mod ids;
mod jobs;
mod sequence;

use super::*;

/// A container's console in front of a supervisor in the test's own hands.
struct Stage {
    console: Console,
    script: Script,
}

impl Stage {
    /// `events` are kept for slow clients.
    fn new(events: usize) -> Stage {
        let (handle, script) = script::script(events, &repositories());
        let console = Console::new(handle, CancellationToken::new()).unwrap();
        Stage { console, script }
    }

    /// A connection that has said nothing.
    fn stream(&self) -> Client<UnixStream> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let console = self.console.clone();
        tokio::spawn(async move {
            let options = ConnectionOptions {
                max_requests_per_sec: 1_000_000.try_into().unwrap(),
                ..ConnectionOptions::for_containers()
            };
            console
                .serve_container(ours, container("me:0.0.1"), Permissions::full(), options)
                .await;
        });
        Client::new(theirs)
    }

    /// A connection with these extensions, and its acknowledgement.
    async fn connect(&self, subscribe: bool, extensions: &str) -> (Client<UnixStream>, Value) {
        let mut client = self.stream();
        client.send(&connect(subscribe, extensions)).await;
        let mut message = client.next().await.unwrap();
        let granted = message["connect_ack"].take();
        assert!(granted.is_object(), "{message}");
        (client, granted)
    }

    async fn asked(&mut self) -> Asked {
        timeout(DEADLINE, self.script.next())
            .await
            .unwrap()
            .unwrap()
    }
}

pub(super) fn connect(subscribe: bool, extensions: &str) -> String {
    format!(
        r#"{{"connect":{{"version":"0.9.2","subscribe_notifications":{subscribe},"extensions":{extensions}}}}}"#
    )
}

fn identified(id: u64, request: &str) -> String {
    format!(r#"{{"id":{id},"request":{request}}}"#)
}

#[tokio::test]
async fn who_asks_for_nothing_is_a_client_of_0_9_2() {
    let stage = Stage::new(8);
    let mut client = stage.stream();
    client.send(&connect(true, "null")).await;
    client.expect(r#"{"connect_ack":null}"#).await;
    let app = || container("app:1.0.0");
    stage.script.events.send(Event::Mounted(app()));
    stage.script.events.send(Event::Exited(
        app(),
        Exit {
            status: ExitStatus::Signalled(9),
            reason: ExitReason::Requested(9),
        },
    ));
    stage.script.events.send(Event::Unmounted(app()));
    stage.script.events.send(Event::Shutdown);
    client
        .expect(r#"{"notification":{"exit":["app:1.0.0",{"signalled":{"signal":9}}]}}"#)
        .await;
    client.expect(r#"{"notification":"shutdown"}"#).await;
    client.send(&identified(1, r#""ident""#)).await;
    client.closed().await;
}

#[tokio::test]
async fn words_that_were_not_asked_for_are_not_understood() {
    let stage = Stage::new(8);
    for word in [
        r#"{"statistics":{"containers":[]}}"#,
        r#"{"cancel":{"id":1}}"#,
    ] {
        let mut client = stage.stream().connect().await;
        client.send(&request(word)).await;
        client.closed().await;
        // Who knows of extensions is told which one is missing.
        let (mut client, _) = stage.connect(false, "{}").await;
        let answer = client.ask(word).await;
        assert!(
            answer["error"]["unexpected"]["error"].is_string(),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn the_acknowledgement_tells_what_is_in_force() {
    let stage = Stage::new(8);
    let all = r#"{"ids":true,"jobs":true,"sequence":true,"details":true,"filter":{"kinds":["exit"]},"unknown":{}}"#;
    let (_client, granted) = stage.connect(true, all).await;
    assert_eq!(
        granted["extensions"],
        json(r#"["ids","jobs","sequence","details","filter"]"#)
    );
    assert_eq!(granted["instance"].as_str().unwrap().len(), 32);
    assert_eq!(
        (granted["sequence"].as_u64(), granted["resumed"].as_bool()),
        (Some(0), Some(false))
    );
    let limits = &granted["limits"];
    assert_eq!(limits["max_request_size"], 1 << 20);
    assert_eq!(limits["max_pending_requests"], 32);
    assert_eq!(limits["max_containers"], 1024);
    assert_eq!(limits["max_installs"], 8);
    assert_eq!(limits["notification_buffer_size"], 8);
    assert_eq!(limits["idle_timeout_ms"], Value::Null);
    assert_eq!(limits["max_connections"], Value::Null);
}

#[tokio::test]
async fn limits_of_a_listener_are_told() {
    let server = Setup::default().start().await;
    let mut client = server.tcp().await;
    client.send(&connect(false, "{}")).await;
    let granted = client.next().await.unwrap()["connect_ack"].take();
    let limits = &granted["limits"];
    assert_eq!(limits["max_connections"], 384);
    assert_eq!(limits["max_connections_per_peer"], 256);
    assert_eq!(limits["max_requests_per_sec_per_peer"], 5000);
    assert_eq!(limits["idle_timeout_ms"], 600_000);
    server.stop().await;
}

#[tokio::test]
async fn an_impossible_extension_is_refused_with_a_reason() {
    let stage = Stage::new(8);
    for (extensions, name) in [
        (r#"{"filter":{"containers":["a["]}}"#, "filter"),
        (
            r#"{"filter":{"kinds":["started","nonsense"]}}"#,
            "extensions",
        ),
        (r#"{"filter":{"container":["app"]}}"#, "extensions"),
        (r#"{"ids":1}"#, "extensions"),
        (r#"["ids"]"#, "extensions"),
    ] {
        let mut client = stage.stream();
        client.send(&connect(true, extensions)).await;
        let message = client.next().await.unwrap();
        let refused = &message["connect_nack"]["invalid_extension"];
        assert_eq!(refused["extension"], name, "{extensions} {message}");
        assert!(refused["cause"].is_string(), "{message}");
        client.closed().await;
    }
}

#[tokio::test]
async fn the_largest_filter_is_taken() {
    let stage = Stage::new(8);
    let filter = |patterns: usize| {
        let pattern = format!(r#""{}*""#, "a".repeat(127));
        let patterns = vec![pattern; patterns].join(",");
        format!(r#"{{"sequence":true,"filter":{{"containers":[{patterns}],"kinds":["exit"]}}}}"#)
    };
    let (_client, granted) = stage.connect(true, &filter(64)).await;
    assert_eq!(granted["extensions"], json(r#"["sequence","filter"]"#));
    let mut client = stage.stream();
    client.send(&connect(true, &filter(65))).await;
    let message = client.next().await.unwrap();
    let refused = &message["connect_nack"]["invalid_extension"];
    assert_eq!(refused["extension"], "filter", "{message}");
}

/// Whoever speaks another protocol would not understand anything else.
#[tokio::test]
async fn another_version_is_refused_before_its_extensions() {
    let stage = Stage::new(8);
    let mut client = stage.stream();
    client
        .send(&connect(true, r#"{"ids":1}"#).replace("0.9.2", "1.0.0"))
        .await;
    client
        .expect(r#"{"connect_nack":{"invalid_protocol_version":{"version":"0.9.2"}}}"#)
        .await;
    client.closed().await;
}
