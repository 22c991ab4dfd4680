//! Futures that are dropped: at whatever point, the connection is as it should be afterwards.

use std::pin::pin;

use futures::{StreamExt, poll};
use northstar_api::{Container, ContainerResult, Error, Extension, Notification};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex},
    task::yield_now,
    time::timeout,
};

use super::peer::{DEADLINE, connected, extended, granted};
use crate::{Backoff, Client, Endpoint, Happening, Options, Reconnecting, RequestError};

/// Size of the body of each install.
const BODY: usize = 300;

/// Answers each request by what it asked, and fails at the first byte that is out of place.
async fn serve(stream: DuplexStream, extensions: Value) {
    let mut stream = BufReader::new(stream);
    let mut text = String::new();
    stream.read_line(&mut text).await.unwrap();
    let ack = match extensions {
        Value::Null => json!({"connect_ack": null}),
        extensions => json!({"connect_ack": {
            "extensions": extensions, "instance": "1", "sequence": 0, "resumed": false,
            "limits": {"max_pending_requests": 4},
        }}),
    };
    say(&mut stream, &ack).await;
    loop {
        text.clear();
        if stream.read_line(&mut text).await.unwrap() == 0 {
            return;
        }
        let line: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text:?}"));
        let request = &line["request"];
        let response = if let Some(inspect) = request.get("inspect") {
            let container = &inspect["container"];
            json!({"inspect": {"error": {
                "container": container,
                "error": {"invalid_container": {"container": container}},
            }}})
        } else if request.get("install").is_some() {
            let mut body = vec![0; BODY];
            stream.read_exact(&mut body).await.unwrap();
            assert!(body.iter().all(|byte| *byte == b'x'));
            json!({"install": {"ok": {"container": "new:0.0.1"}}})
        } else if let Some(cancel) = request.get("cancel") {
            let id = &cancel["id"];
            json!({"cancel": {"error": {"id": id, "error": {"unknown_id": {"id": id}}}}})
        } else {
            panic!("asked {request}");
        };
        let mut answer = json!({ "response": response });
        if let Some(id) = line.get("id") {
            answer["id"] = id.clone();
        }
        say(&mut stream, &answer).await;
    }
}

async fn say(stream: &mut BufReader<DuplexStream>, message: &Value) {
    let line = format!("{message}\n");
    stream.write_all(line.as_bytes()).await.unwrap();
}

/// Polls a future `times` times, with everybody else in between, and drops it.
async fn drop_after<T>(times: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..times {
        if let std::task::Poll::Ready(done) = poll!(future.as_mut()) {
            return Some(done);
        }
        yield_now().await;
    }
    None
}

async fn inspect(client: &Client, number: usize) {
    let name: Container = format!("c{number}:0.0.1").parse().unwrap();
    let answer = client.inspect(name.clone()).await;
    let Err(RequestError::Server(Error::InvalidContainer { container })) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(container, name);
}

async fn connect(options: Options, extensions: Value) -> Client {
    // So small that a line takes many writes.
    let (ours, theirs) = duplex(7);
    tokio::spawn(serve(theirs, extensions));
    Client::from_stream(ours, options).await.unwrap()
}

/// The server answers nothing, and there is no place for one more request.
#[tokio::test]
async fn a_connection_that_nobody_has_any_more_is_closed_whatever_is_under_way() {
    let (client, mut peer) = extended(r#""ids","jobs""#).await;
    let container = || "a:0.0.1".parse::<Container>().unwrap();
    let jobs = [
        client.begin_mount([container()]).await.unwrap(),
        client.begin_mount([container()]).await.unwrap(),
    ];
    for _ in &jobs {
        assert!(peer.line().await.contains("mount"));
    }
    drop((client, jobs));
    assert_eq!(peer.drain().await, 0);
}

/// Drops requests of all kinds at their first, second, third.. point of waiting.
async fn drop_everywhere(client: &Client) {
    let mut finished = 0;
    for times in 0..150 {
        drop_after(times, inspect(client, 1000 + times)).await;
        let body = tokio::io::repeat(b'x');
        let size = u64::try_from(BODY).unwrap();
        let install = client.install("r", size, body, |_| {});
        if let Some(done) = drop_after(times, install).await {
            assert_eq!(done.unwrap().to_string(), "new:0.0.1");
            finished += 1;
        }
        let job = async {
            let container = "j:0.0.1".parse().unwrap();
            let job = client.begin_install("r", size, tokio::io::repeat(b'x'), |_| {});
            let job = job.await.unwrap();
            if client.has(Extension::Jobs) {
                let _ = job.cancel().await;
            }
            let _ = job.await;
            container
        };
        drop_after::<Container>(times, job).await;
        let check = timeout(DEADLINE, inspect(client, times));
        check.await.expect("the connection hangs");
    }
    // Some were dropped early, others got to their end.
    assert!(finished > 0 && finished < 150, "{finished}");
}

#[tokio::test]
async fn requests_can_be_dropped_at_any_point() {
    drop_everywhere(&connect(Options::default(), Value::Null).await).await;
}

#[tokio::test]
async fn requests_with_ids_can_be_dropped_at_any_point() {
    let client = connect(Options::extended(), json!(["ids", "jobs"])).await;
    assert!(client.has(Extension::Jobs));
    drop_everywhere(&client).await;
}

#[tokio::test]
async fn connecting_can_be_dropped_at_any_point() {
    for times in 0..100 {
        let (ours, theirs) = duplex(7);
        let server = tokio::spawn(async move {
            let mut stream = BufReader::new(theirs);
            let mut line = String::new();
            let mut all = 0;
            while stream
                .read_line(&mut line)
                .await
                .is_ok_and(|count| count > 0)
            {
                all += 1;
                // Nobody may be there to read it.
                let _ = stream.write_all(b"{\"connect_ack\":null}\n").await;
            }
            all
        });
        let client = drop_after(times, Client::from_stream(ours, Options::default())).await;
        drop(client);
        let lines = timeout(DEADLINE, server)
            .await
            .expect("the connection stays open");
        assert!(lines.unwrap() <= 1);
    }
}

/// Waits for what `wait` finds `count` times, and gives up as often as not before there is something.
async fn impatiently<T>(count: usize, mut wait: impl AsyncFnMut() -> T) -> Vec<T> {
    let mut found = Vec::new();
    for times in 0.. {
        if found.len() == count {
            break;
        }
        found.extend(drop_after(times % 4, wait()).await);
    }
    found
}

#[tokio::test]
async fn who_gives_up_waiting_for_notifications_loses_none() {
    let (client, mut peer) = connected(Some(100)).await;
    let mut notifications = client.notifications();
    let say = async {
        for number in 0..50 {
            peer.say(&format!(
                r#"{{"notification":{{"started":"a:{number}.0.0"}}}}"#
            ))
            .await;
            yield_now().await;
        }
    };
    let wait = impatiently(50, async || notifications.next().await.unwrap().unwrap());
    let (heard, ()) = timeout(DEADLINE, async { tokio::join!(wait, say) })
        .await
        .unwrap();
    let expected = |number| Notification::Started(format!("a:{number}.0.0").parse().unwrap());
    assert_eq!(heard, (0..50).map(expected).collect::<Vec<_>>());
}

#[tokio::test]
async fn who_gives_up_waiting_for_events_loses_none_over_several_connections() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let backoff = Backoff {
        first: std::time::Duration::from_millis(1),
        longest: std::time::Duration::from_millis(1),
    };
    let options = Options::default().with_notifications(4);
    let mut link = Reconnecting::new(Endpoint::Unix(path), options, backoff);
    // Ten events on each connection.
    let serve = async {
        for connection in 0..5_u64 {
            let mut peer = super::peer::Peer::new(listener.accept().await.unwrap().0);
            let connect: Value = serde_json::from_str(&peer.line().await).unwrap();
            let resume = &connect["connect"]["extensions"]["resume"];
            let before = connection * 10;
            if connection > 0 {
                assert_eq!(resume, &json!({"instance": "a", "sequence": before}));
            }
            peer.say(&granted(r#""sequence""#, "a", before, connection > 0))
                .await;
            for number in 1..=10 {
                let line = format!(
                    r#"{{"sequence":{},"notification":"shutdown"}}"#,
                    before + number
                );
                peer.say(&line).await;
                yield_now().await;
            }
        }
    };
    let follow = async {
        let mut numbers = Vec::new();
        while numbers.len() < 50 {
            let happening = impatiently(1, async || link.next().await.unwrap()).await;
            if let [Happening::Event(event)] = happening.as_slice() {
                let number = event.sequence.unwrap();
                assert_eq!(
                    link.position().map(|position| position.sequence),
                    Some(number)
                );
                numbers.push(number);
            }
        }
        numbers
    };
    let (numbers, ()) = timeout(DEADLINE, async { tokio::join!(follow, serve) })
        .await
        .unwrap();
    assert_eq!(numbers, (1..=50).collect::<Vec<_>>());
}

#[tokio::test]
async fn who_gives_up_waiting_for_progress_gets_the_result() {
    let (client, mut peer) = extended(r#""ids","jobs""#).await;
    for times in 0..20_u64 {
        let name = |number| format!("m{number}:0.0.1").parse::<Container>().unwrap();
        let mut job = client.begin_mount(vec![name(times)]).await.unwrap();
        let request: Value = serde_json::from_str(&peer.line().await).unwrap();
        let id = &request["id"];
        for done in 0..3 {
            let progress =
                json!({"id": id, "progress": {"done": done, "total": 3, "unit": "containers"}});
            peer.say(&progress.to_string()).await;
            let polls = usize::try_from(times).unwrap() % 5;
            drop_after(polls, job.progress()).await;
        }
        let results =
            json!({"id": id, "response": {"mount": [{"ok": {"container": name(times)}}]}});
        peer.say(&results.to_string()).await;
        let results = timeout(DEADLINE, job).await.unwrap().unwrap();
        assert_eq!(results, [ContainerResult::new(name(times), Ok(()))]);
    }
}
