//! Ids, jobs, numbers: what a server may grant beyond protocol 0.9.2.

use std::time::Duration;

use futures::{StreamExt, future::join_all};
use northstar_api::{
    Container, Error, Extension, Notification, Progress, RepositoryDetails, RepositoryIntegrity,
    RepositoryKind, Unit,
};
use tokio::time::timeout;

use super::peer::{DEADLINE, Peer, connected, extended};
use crate::{Client, Disconnected, Event, Missed, Options, RequestError};

const ALL: &str = r#""ids","jobs","sequence","details""#;

fn c(name: &str) -> Container {
    format!("{name}:0.0.1").parse().unwrap()
}

fn start(id: u64, name: &str) -> String {
    format!(
        r#"{{"id":{id},"request":{{"start":{{"container":"{name}:0.0.1","init":null,"arguments":[],"environment":{{}}}}}}}}"#
    )
}

fn started(id: u64, name: &str) -> String {
    format!(r#"{{"id":{id},"response":{{"start":{{"ok":{{"container":"{name}:0.0.1"}}}}}}}}"#)
}

#[tokio::test]
async fn what_is_granted_can_be_seen() {
    let (client, _peer) = extended(r#""ids","details""#).await;
    assert!(client.has(Extension::Ids) && client.has(Extension::Details));
    assert!(!client.has(Extension::Jobs) && !client.has(Extension::Sequence));
    assert_eq!(client.granted().unwrap().limits.max_pending_requests, 3);
    let (client, _peer) = connected(None).await;
    assert!(client.granted().is_none());
}

#[tokio::test]
async fn answers_find_their_requests_in_any_order() {
    let (client, mut peer) = extended(ALL).await;
    let serve = async {
        // One place of three is for cancellations: the third request waits.
        assert_eq!(peer.line().await, start(1, "a"));
        assert_eq!(peer.line().await, r#"{"id":2,"request":"list"}"#);
        peer.say(r#"{"id":2,"response":{"list":["x:0.0.1"]}}"#)
            .await;
        assert_eq!(peer.line().await, r#"{"id":3,"request":"ident"}"#);
        peer.say(r#"{"id":3,"response":{"ident":"me:0.0.1"}}"#)
            .await;
        peer.say(&started(1, "a")).await;
    };
    let (start, list, ident, ()) =
        tokio::join!(client.start(c("a")), client.list(), client.ident(), serve);
    start.unwrap();
    assert_eq!(list.unwrap(), [c("x")]);
    assert_eq!(ident.unwrap(), c("me"));
}

#[tokio::test]
async fn tasks_share_one_client() {
    let (client, mut peer) = extended(ALL).await;
    let tasks = (0..100).map(|number| {
        let client = client.clone();
        tokio::spawn(async move {
            let name = c(&format!("c{number}"));
            let error = client.inspect(name.clone()).await.unwrap_err();
            let RequestError::Server(Error::InvalidContainer { container }) = error else {
                panic!("{error:?}")
            };
            assert_eq!(container, name);
        })
    });
    let tasks: Vec<_> = tasks.collect();
    for _ in 0..50 {
        let lines = [peer.line().await, peer.line().await];
        // The later one first.
        for line in lines.iter().rev() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let (id, container) = (&line["id"], &line["request"]["inspect"]["container"]);
            peer.say(&format!(
                r#"{{"id":{id},"response":{{"inspect":{{"error":{{"container":{container},"error":{{"invalid_container":{{"container":{container}}}}}}}}}}}}}"#
            ))
            .await;
        }
    }
    for task in join_all(tasks).await {
        task.unwrap();
    }
}

#[tokio::test]
async fn a_job_tells_its_progress_and_can_be_cancelled() {
    let (client, mut peer) = extended(ALL).await;
    let progress =
        |done| format!(r#"{{"id":1,"progress":{{"done":{done},"total":2,"unit":"containers"}}}}"#);
    let serve = async {
        let mount = r#"{"id":1,"request":{"mount":{"containers":["a:0.0.1","b:0.0.1"]}}}"#;
        assert_eq!(peer.line().await, mount);
        peer.say(&progress(1)).await;
        assert_eq!(
            peer.line().await,
            r#"{"id":2,"request":{"cancel":{"id":1}}}"#
        );
        peer.say(r#"{"id":2,"response":{"cancel":{"ok":{"id":1}}}}"#)
            .await;
        peer.say(r#"{"id":1,"response":{"mount":[{"ok":{"container":"a:0.0.1"}},{"error":{"container":"b:0.0.1","error":{"cancelled":{}}}}]}}"#).await;
    };
    let ask = async {
        let mut job = client.begin_mount([c("a"), c("b")]).await.unwrap();
        let expected = Progress {
            done: 1,
            total: 2,
            unit: Unit::Containers,
        };
        assert_eq!(job.progress().await, Some(expected));
        job.cancel().await.unwrap();
        assert_eq!(job.progress().await, None);
        job.await.unwrap()
    };
    let (results, ()) = timeout(DEADLINE, async { tokio::join!(ask, serve) })
        .await
        .unwrap();
    let results: Vec<_> = results
        .into_iter()
        .map(|result| result.into_result())
        .collect();
    assert_eq!(results, [Ok(c("a")), Err(Error::Cancelled {})]);
}

#[tokio::test]
async fn a_cancellation_gets_through_when_all_places_are_taken() {
    let (client, mut peer) = extended(ALL).await;
    let one = client
        .begin_start(c("a"), Default::default())
        .await
        .unwrap();
    let two = client
        .begin_start(c("b"), Default::default())
        .await
        .unwrap();
    // These wait for a place.
    let waiting = client
        .begin_start(c("d"), Default::default())
        .await
        .unwrap();
    for (id, name) in [(1, "a"), (2, "b")] {
        assert_eq!(peer.line().await, start(id, name));
    }
    let serve = async {
        assert_eq!(
            peer.line().await,
            r#"{"id":4,"request":{"cancel":{"id":2}}}"#
        );
        peer.say(r#"{"id":4,"response":{"cancel":{"ok":{"id":2}}}}"#)
            .await;
    };
    let (cancelled, ()) = tokio::join!(two.cancel(), serve);
    cancelled.unwrap();
    peer.say(&started(1, "a")).await;
    one.await.unwrap();
    assert_eq!(peer.line().await, start(3, "d"));
    peer.say(&started(3, "d")).await;
    waiting.await.unwrap();
    peer.say(r#"{"id":2,"response":{"start":{"error":{"container":"b:0.0.1","error":{"cancelled":{}}}}}}"#).await;
    assert!(matches!(
        two.await,
        Err(RequestError::Server(Error::Cancelled {}))
    ));
}

#[tokio::test]
async fn without_the_extension_a_job_is_a_request() {
    let (client, mut peer) = connected(None).await;
    let mut job = client.begin_uninstall(c("a"), true).await.unwrap();
    let extension = Extension::Jobs;
    assert!(matches!(
        job.cancel().await,
        Err(RequestError::NotGranted { extension: missing }) if missing == extension
    ));
    let request = r#"{"request":{"uninstall":{"container":"a:0.0.1","wipe":true}}}"#;
    assert_eq!(peer.line().await, request);
    peer.say(r#"{"response":{"uninstall":{"ok":{"container":"a:0.0.1"}}}}"#)
        .await;
    assert_eq!(job.progress().await, None);
    job.await.unwrap();
    assert!(matches!(
        client.statistics([]).await,
        Err(RequestError::NotGranted {
            extension: Extension::Details
        })
    ));
    assert!(matches!(
        client.repository_details().await,
        Err(RequestError::NotGranted {
            extension: Extension::Details
        })
    ));
}

#[tokio::test]
async fn repositories_in_detail() {
    let (client, mut peer) = extended(ALL).await;
    let serve = async {
        assert_eq!(
            peer.line().await,
            r#"{"id":1,"request":"repository_details"}"#
        );
        peer.say(r#"{"id":1,"response":{"repository_details":[{"repository":"r","type":"mem","keyed":false,"integrity":"none"}]}}"#).await;
    };
    let (repositories, ()) = tokio::join!(client.repository_details(), serve);
    assert_eq!(
        repositories.unwrap(),
        [RepositoryDetails {
            repository: "r".to_owned(),
            kind: RepositoryKind::Mem,
            keyed: false,
            integrity: RepositoryIntegrity::None,
        }]
    );
}

#[tokio::test]
async fn notifications_have_numbers_and_what_is_lost_is_told() {
    let (client, mut peer) = extended(ALL).await;
    let mut events = client.events();
    for line in [
        r#"{"sequence":8,"notification":{"started":"a:0.0.1"}}"#,
        r#"{"sequence":9,"notification":{"mounted":"a:0.0.1"}}"#,
        r#"{"sequence":20,"notification":{"lagged":{"missed":11}}}"#,
        r#"{"sequence":21,"notification":"shutdown"}"#,
    ] {
        peer.say(line).await;
    }
    let event = |sequence, notification| {
        Ok(Event {
            sequence: Some(sequence),
            notification,
        })
    };
    let expected = [
        event(8, Notification::Started(c("a"))),
        event(9, Notification::Mounted(c("a"))),
        Err(Missed { count: 11 }),
        event(21, Notification::Shutdown),
    ];
    for expected in expected {
        assert_eq!(events.next().await, Some(expected));
    }
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_given_up_and_its_answer_thrown_away() {
    let (client, mut peer) = connected(None).await;
    let hasty = client.with_timeout(Some(Duration::from_millis(20)));
    let error = hasty.ident().await.unwrap_err();
    assert!(matches!(error, RequestError::Timeout { timeout } if timeout.as_millis() == 20));
    assert_eq!(peer.line().await, r#"{"request":"ident"}"#);
    let serve = async {
        peer.say(r#"{"response":{"ident":"late:0.0.1"}}"#).await;
        assert_eq!(peer.line().await, r#"{"request":"list"}"#);
        peer.say(r#"{"response":{"list":[]}}"#).await;
    };
    let (list, ()) = tokio::join!(client.list(), serve);
    assert_eq!(list.unwrap(), []);
}

#[tokio::test]
async fn an_install_that_moves_is_not_given_up() {
    let (client, mut peer) = connected(None).await;
    let hasty = client.with_timeout(Some(Duration::from_millis(200)));
    let (body, mut source) = tokio::io::duplex(1);
    let install = hasty.install("r", 4, body, |_| {});
    let serve = async {
        use tokio::io::AsyncWriteExt;
        peer.line().await;
        // Longer than the limit in all, but never without a byte for as long as that.
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            source.write_all(b"x").await.unwrap();
            assert_eq!(peer.raw(1).await, b"x");
        }
        peer.say(r#"{"response":{"install":{"ok":{"container":"a:0.0.1"}}}}"#)
            .await;
    };
    let (installed, ()) = tokio::join!(install, serve);
    assert_eq!(installed.unwrap(), c("a"));
}

#[tokio::test]
async fn what_nobody_asked_for_closes_the_connection() {
    let lines = [
        r#"{"id":99,"response":{"list":[]}}"#,
        r#"{"response":{"list":[]}}"#,
        r#"{"id":99,"progress":{"done":1,"total":2,"unit":"bytes"}}"#,
        r#"{"progress":{"done":1,"total":2,"unit":"bytes"}}"#,
    ];
    for line in lines {
        let (client, mut peer) = extended(ALL).await;
        let (answer, ()) = tokio::join!(client.list(), async {
            peer.line().await;
            peer.say(line).await;
        });
        let Err(RequestError::Closed(reason)) = answer else {
            panic!("{line}: {answer:?}")
        };
        assert!(matches!(*reason, Disconnected::OutOfPlace), "{line}");
    }
}

/// A server that closes when it finds a key it does not know.
#[tokio::test]
async fn a_server_that_cannot_read_extensions_is_asked_without() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let serve = async {
        let mut first = Peer::new(listener.accept().await.unwrap().0);
        assert!(first.line().await.contains("extensions"));
        drop(first);
        let mut second = Peer::new(listener.accept().await.unwrap().0);
        let plain = r#"{"connect":{"version":"0.9.2","subscribe_notifications":false}}"#;
        assert_eq!(second.line().await, plain);
        second.say(r#"{"connect_ack":null}"#).await;
        second
    };
    let endpoint = crate::Endpoint::Unix(path);
    let connect = Client::connect(&endpoint, Options::extended());
    let (client, mut peer) = tokio::join!(connect, serve);
    let client = client.unwrap();
    assert!(client.granted().is_none());
    let (list, ()) = tokio::join!(client.list(), async {
        assert_eq!(peer.line().await, r#"{"request":"list"}"#);
        peer.say(r#"{"response":{"list":[]}}"#).await;
    });
    assert_eq!(list.unwrap(), []);
}
