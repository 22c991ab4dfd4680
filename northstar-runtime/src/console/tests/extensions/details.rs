//! More words: notifications, reasons, errors, keys and statistics.

use super::*;

const DETAILS: &str = r#"{"details":true}"#;

#[tokio::test]
async fn exits_have_reasons_and_images_come_and_go() {
    let stage = Stage::new(16);
    let (mut client, _) = stage.connect(true, DETAILS).await;
    let app = || container("app:1.0.0");
    let exit = |status, reason| Event::Exited(app(), Exit { status, reason });
    let nine = ExitStatus::Signalled(9);
    let table = [
        (Event::Mounted(app()), r#"{"mounted":"app:1.0.0"}"#),
        (Event::Unmounted(app()), r#"{"umounted":"app:1.0.0"}"#),
        (
            exit(ExitStatus::Exit(3), ExitReason::OwnExit),
            r#"{"exit":["app:1.0.0",{"exit":{"code":3,"reason":"own_exit"}}]}"#,
        ),
        (
            exit(ExitStatus::Exit(0), ExitReason::Requested(15)),
            r#"{"exit":["app:1.0.0",{"exit":{"code":0,"reason":"killed_by_request","requested_signal":15}}]}"#,
        ),
        (
            exit(nine, ExitReason::Requested(9)),
            r#"{"exit":["app:1.0.0",{"signalled":{"signal":9,"reason":"killed_by_request","requested_signal":9}}]}"#,
        ),
        (
            exit(nine, ExitReason::OutOfMemory),
            r#"{"exit":["app:1.0.0",{"signalled":{"signal":9,"reason":"oom_killed"}}]}"#,
        ),
        (
            exit(nine, ExitReason::InitDied),
            r#"{"exit":["app:1.0.0",{"signalled":{"signal":9,"reason":"init_died"}}]}"#,
        ),
        (
            exit(ExitStatus::Signalled(11), ExitReason::OwnSignal),
            r#"{"exit":["app:1.0.0",{"signalled":{"signal":11,"reason":"own_signal"}}]}"#,
        ),
        (
            exit(ExitStatus::Signalled(15), ExitReason::Shutdown),
            r#"{"exit":["app:1.0.0",{"signalled":{"signal":15,"reason":"shutdown"}}]}"#,
        ),
    ];
    for (event, notification) in table {
        stage.script.events.send(event);
        client
            .expect(&format!("{{\"notification\":{notification}}}"))
            .await;
    }
}

#[tokio::test]
async fn inspect_has_the_whole_manifest_and_the_history() {
    let mut stage = Stage::new(8);
    let (mut client, _) = stage.connect(false, DETAILS).await;
    client
        .send(&request(r#"{"inspect":{"container":"app:1.0.0"}}"#))
        .await;
    let Asked::Inspect(_, reply) = stage.asked().await else {
        panic!("no inspect");
    };
    reply.send(Ok(inspection())).unwrap();
    let message = client.next().await.unwrap();
    let data = &message["response"]["inspect"]["ok"]["data"];
    // 0.9.2 reads no id beyond 65535.
    assert_eq!(data["manifest"]["gid"], 100_000);
    assert_eq!(data.get("manifest_changed"), None);
    assert_eq!(data["state"], "running");
    assert_eq!(data["starts"], 3);
    assert_eq!(
        data["last_exit"],
        json(r#"{"signalled":{"signal":9,"reason":"oom_killed"}}"#)
    );
}

#[tokio::test]
async fn statistics_of_many_are_one_request() {
    let mut stage = Stage::new(8);
    let (mut client, _) = stage.connect(false, DETAILS).await;
    client
        .send(&request(r#"{"statistics":{"containers":["app:1.0.0"]}}"#))
        .await;
    let Asked::Statistics(containers, reply) = stage.asked().await else {
        panic!("no statistics");
    };
    assert_eq!(containers, [container("app:1.0.0")]);
    reply.send(vec![usage()]).unwrap();
    let message = client.next().await.unwrap();
    let usage = &message["response"]["statistics"][0];
    assert_eq!(usage["container"], "app:1.0.0");
    assert_eq!(
        (usage["mounted"].as_bool(), usage["starts"].as_u64()),
        (Some(true), Some(3))
    );
    assert_eq!(usage["process"]["pid"], 42);
}

#[tokio::test]
async fn repositories_tell_what_they_are() {
    let stage = Stage::new(8);
    let (mut client, _) = stage.connect(false, DETAILS).await;
    client.send(&request(r#""repository_details""#)).await;
    assert_eq!(
        client.next().await.unwrap(),
        json(
            r#"{"response":{"repository_details":[{"repository":"default","type":"fs","keyed":true,"integrity":"dm-verity"},{"repository":"deaf","type":"mem","keyed":false,"integrity":"none"}]}}"#
        )
    );
}

#[tokio::test]
async fn failures_have_words_of_their_own() {
    let mut stage = Stage::new(8);
    let (mut client, _) = stage.connect(false, DETAILS).await;
    let app = || container("app:1.0.0");
    let denied = || Arc::new(std::io::Error::from_raw_os_error(13));
    let step = northstar_sandbox::StepError::new(northstar_sandbox::Step::ALL[0], 2, "");
    let name = step.step.name();
    let table = [
        (Error::ShuttingDown, json(r#"{"shutting_down":{}}"#)),
        (
            Error::InvalidSignal { signal: 99 },
            json(r#"{"invalid_signal":{"signal":99}}"#),
        ),
        (
            Error::Signal {
                container: app(),
                signal: 15,
                source: denied(),
            },
            json(
                r#"{"kill_failed":{"container":"app:1.0.0","signal":15,"error":"Permission denied (os error 13)"}}"#,
            ),
        ),
        (
            Error::Wipe {
                container: app(),
                source: denied(),
            },
            json(
                r#"{"wipe_failed":{"container":"app:1.0.0","error":"Permission denied (os error 13)"}}"#,
            ),
        ),
        (
            Error::TooManyInstalls { limit: 3 },
            json(r#"{"too_many_installs":{"limit":3}}"#),
        ),
        (
            Error::StartContainerFailed {
                container: app(),
                source: Arc::new(crate::launch::Error::Step(step.clone())),
            },
            serde_json::json!({"start_container_failed": {
                "container": "app:1.0.0", "error": step.to_string(), "step": name, "errno": 2
            }}),
        ),
    ];
    for (error, expected) in table {
        client
            .send(&request(r#"{"kill":{"container":"app:1.0.0","signal":1}}"#))
            .await;
        let Asked::Kill(_, _, reply) = stage.asked().await else {
            panic!("no kill");
        };
        reply.send(Err(error)).unwrap();
        let message = client.next().await.unwrap();
        assert_eq!(message["response"]["kill"]["error"]["error"], expected);
    }
}

#[tokio::test]
async fn too_many_containers_have_a_word_of_their_own() {
    let stage = Stage::new(8);
    let (mut client, _) = stage.connect(false, DETAILS).await;
    let many = vec!["a:1.0.0"; 1025];
    for kind in ["mount", "umount", "statistics"] {
        let line = serde_json::json!({ kind: { "containers": many } }).to_string();
        assert_eq!(
            client.ask(&line).await,
            json(r#"{"error":{"too_many_containers":{"count":1025,"limit":1024}}}"#)
        );
    }
}
