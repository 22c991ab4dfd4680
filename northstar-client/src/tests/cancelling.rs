//! Futures that are dropped: at whatever point, the connection is as it should be afterwards.

use std::pin::pin;

use futures::poll;
use northstar_api::{Container, Error, Extension};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex},
    task::yield_now,
    time::timeout,
};

use super::peer::DEADLINE;
use crate::{Client, Options, RequestError};

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
