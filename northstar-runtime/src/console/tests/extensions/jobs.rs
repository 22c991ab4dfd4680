//! Progress and cancellation.

use super::*;

const JOBS: &str = r#"{"ids":true,"jobs":true,"details":true}"#;

/// The next line that is no progress, and the progress before it.
async fn response(client: &mut Client<UnixStream>) -> (Vec<Value>, Value) {
    let mut progress = Vec::new();
    loop {
        let mut message = client.next().await.unwrap();
        match message.get_mut("progress") {
            Some(step) => progress.push(step.take()),
            None => return (progress, message),
        }
    }
}

async fn mount(stage: &mut Stage) -> (String, script::Done) {
    match stage.asked().await {
        Asked::Mount(container, reply) => (container.to_string(), reply),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_job_tells_how_far_it_has_come() {
    let mut stage = Stage::new(8);
    let (mut client, _) = stage.connect(false, JOBS).await;
    client
        .send(&identified(
            5,
            r#"{"mount":{"containers":["a:1.0.0","b:1.0.0"]}}"#,
        ))
        .await;
    let (_, first) = mount(&mut stage).await;
    client
        .expect(r#"{"id":5,"progress":{"done":0,"total":2,"unit":"containers"}}"#)
        .await;
    first.send(Ok(())).unwrap();
    client
        .expect(r#"{"id":5,"progress":{"done":1,"total":2,"unit":"containers"}}"#)
        .await;
    mount(&mut stage).await.1.send(Ok(())).unwrap();
    let (_, answer) = response(&mut client).await;
    let expected = r#"{"id":5,"response":{"mount":[{"ok":{"container":"a:1.0.0"}},{"ok":{"container":"b:1.0.0"}}]}}"#;
    assert_eq!(answer, json(expected));
}

#[tokio::test]
async fn bytes_of_a_package_are_counted() {
    let mut stage = Stage::new(8);
    let (mut client, _) = stage.connect(false, JOBS).await;
    client
        .send(&identified(1, r#"{"install":{"repository":"r","size":3}}"#))
        .await;
    let Asked::Install(repository, _, install) = stage.asked().await else {
        panic!("no install");
    };
    let job = install.job();
    job.begin(3);
    let (slot, uploading) = script::upload(repository, job);
    install.send(Ok(slot)).unwrap();
    client
        .expect(r#"{"id":1,"progress":{"done":0,"total":3,"unit":"bytes"}}"#)
        .await;
    client.raw(b"ab").await;
    client
        .expect(r#"{"id":1,"progress":{"done":2,"total":3,"unit":"bytes"}}"#)
        .await;
    client.raw(b"c").await;
    assert!(uploading.finish(Ok(container("new:1.0.0"))).await.is_some());
    let (_, answer) = response(&mut client).await;
    assert_eq!(
        answer["response"]["install"]["ok"]["container"],
        "new:1.0.0"
    );
}

#[tokio::test]
async fn a_cancelled_mount_of_many_stops_before_the_next_one() {
    let mut stage = Stage::new(8);
    let (mut client, _) = stage.connect(false, JOBS).await;
    // Two at a time.
    client
        .send(&identified(
            1,
            r#"{"mount":{"containers":["a:1.0.0","b:1.0.0","c:1.0.0","d:1.0.0"]}}"#,
        ))
        .await;
    let (a, first) = mount(&mut stage).await;
    let (b, second) = mount(&mut stage).await;
    assert_eq!((a.as_str(), b.as_str()), ("a:1.0.0", "b:1.0.0"));
    client.send(&identified(2, r#"{"cancel":{"id":1}}"#)).await;
    // The supervisor is told after the job is.
    assert!(matches!(stage.asked().await, Asked::Cancelled));
    let (_, cancelled) = response(&mut client).await;
    assert_eq!(
        cancelled,
        json(r#"{"id":2,"response":{"cancel":{"ok":{"id":1}}}}"#)
    );
    // What was begun is finished.
    first.send(Ok(())).unwrap();
    second.send(Ok(())).unwrap();
    let (_, answer) = response(&mut client).await;
    let expected = r#"{"id":1,"response":{"mount":[{"ok":{"container":"a:1.0.0"}},{"ok":{"container":"b:1.0.0"}},{"error":{"container":"c:1.0.0","error":{"cancelled":{}}}},{"error":{"container":"d:1.0.0","error":{"cancelled":{}}}}]}}"#;
    assert_eq!(answer, json(expected));
}

#[tokio::test]
async fn what_is_not_under_way_cannot_be_cancelled() {
    let mut stage = Stage::new(8);
    let (mut client, _) = stage.connect(false, JOBS).await;
    client.send(&identified(1, r#"{"cancel":{"id":9}}"#)).await;
    client
        .expect(
            r#"{"id":1,"response":{"cancel":{"error":{"id":9,"error":{"unknown_id":{"id":9}}}}}}"#,
        )
        .await;
    client
        .send(&identified(
            2,
            r#"{"uninstall":{"container":"a:1.0.0","wipe":false}}"#,
        ))
        .await;
    let Asked::Uninstall(_, _, done) = stage.asked().await else {
        panic!("no uninstall");
    };
    done.send(Ok(())).unwrap();
    let (_, answer) = response(&mut client).await;
    assert_eq!(
        answer,
        json(r#"{"id":2,"response":{"uninstall":{"ok":{"container":"a:1.0.0"}}}}"#)
    );
    client.send(&identified(3, r#"{"cancel":{"id":2}}"#)).await;
    let (_, answer) = response(&mut client).await;
    assert_eq!(
        answer["response"]["cancel"]["error"]["error"],
        json(r#"{"unknown_id":{"id":2}}"#)
    );
}

#[tokio::test]
async fn one_connection_does_not_cancel_the_requests_of_another() {
    let mut stage = Stage::new(8);
    let (mut one, _) = stage.connect(false, JOBS).await;
    let (mut other, _) = stage.connect(false, JOBS).await;
    one.send(&identified(1, r#"{"start":{"container":"a:1.0.0"}}"#))
        .await;
    let Asked::Start(_, _, start) = stage.asked().await else {
        panic!("no start");
    };
    other.send(&identified(2, r#"{"cancel":{"id":1}}"#)).await;
    let (_, answer) = response(&mut other).await;
    assert_eq!(
        answer["response"]["cancel"]["error"]["error"],
        json(r#"{"unknown_id":{"id":1}}"#)
    );
    assert!(!start.job().is_cancelled());
}

#[tokio::test]
async fn a_start_hears_of_its_cancellation() {
    let mut stage = Stage::new(8);
    let (mut client, _) = stage.connect(false, JOBS).await;
    client
        .send(&identified(1, r#"{"start":{"container":"a:1.0.0"}}"#))
        .await;
    let Asked::Start(_, _, start) = stage.asked().await else {
        panic!("no start");
    };
    client.send(&identified(2, r#"{"cancel":{"id":1}}"#)).await;
    assert!(matches!(stage.asked().await, Asked::Cancelled));
    assert!(start.job().is_cancelled());
    start.send(Err(Error::Cancelled)).unwrap();
    let (_, first) = response(&mut client).await;
    let (_, second) = response(&mut client).await;
    let cancelled = json(
        r#"{"id":1,"response":{"start":{"error":{"container":"a:1.0.0","error":{"cancelled":{}}}}}}"#,
    );
    assert!([&first, &second].contains(&&cancelled), "{first} {second}");
}

#[tokio::test]
async fn without_details_a_cancellation_is_told_in_the_words_of_0_9_2() {
    let mut stage = Stage::new(8);
    let (mut client, _) = stage.connect(false, r#"{"ids":true,"jobs":true}"#).await;
    client
        .send(&identified(1, r#"{"start":{"container":"a:1.0.0"}}"#))
        .await;
    let Asked::Start(_, _, start) = stage.asked().await else {
        panic!("no start");
    };
    start.send(Err(Error::Cancelled)).unwrap();
    let (_, answer) = response(&mut client).await;
    assert_eq!(
        answer["response"]["start"]["error"]["error"],
        json(r#"{"unexpected":{"error":"cancelled"}}"#)
    );
}

#[tokio::test]
async fn a_refused_word_ends_no_request_of_its_id() {
    let mut stage = Stage::new(8);
    let (mut client, _) = stage.connect(false, r#"{"ids":true,"jobs":true}"#).await;
    client
        .send(&identified(1, r#"{"start":{"container":"a:1.0.0"}}"#))
        .await;
    let Asked::Start(_, _, start) = stage.asked().await else {
        panic!("no start");
    };
    client.send(&identified(1, r#"{"statistics":{}}"#)).await;
    let (_, refused) = response(&mut client).await;
    assert_eq!(refused["id"], 1);
    assert!(refused["response"]["error"].is_object(), "{refused}");
    client.send(&identified(2, r#"{"cancel":{"id":1}}"#)).await;
    let (_, cancelled) = response(&mut client).await;
    assert_eq!(
        cancelled,
        json(r#"{"id":2,"response":{"cancel":{"ok":{"id":1}}}}"#)
    );
    assert!(start.job().is_cancelled());
}
