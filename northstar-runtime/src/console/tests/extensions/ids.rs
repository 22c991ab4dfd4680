//! Requests with ids.

use super::*;

const IDS: &str = r#"{"ids":true}"#;

#[tokio::test]
async fn answers_come_as_they_are_there() {
    let mut stage = Stage::new(8);
    let (mut client, _) = stage.connect(false, IDS).await;
    client
        .send(&identified(7, r#"{"start":{"container":"app:1.0.0"}}"#))
        .await;
    client.send(&identified(8, r#""list""#)).await;
    let Asked::Start(_, _, start) = stage.asked().await else {
        panic!("no start");
    };
    let Asked::List(list) = stage.asked().await else {
        panic!("no list");
    };
    list.send([container("app:1.0.0")].into()).unwrap();
    client
        .expect(r#"{"id":8,"response":{"list":["app:1.0.0"]}}"#)
        .await;
    start.send(Ok(())).unwrap();
    client
        .expect(r#"{"id":7,"response":{"start":{"ok":{"container":"app:1.0.0"}}}}"#)
        .await;
}

#[tokio::test]
async fn requests_without_id_keep_their_order_beside_them() {
    let mut stage = Stage::new(8);
    let (mut client, _) = stage.connect(false, IDS).await;
    client.send(&identified(1, r#""list""#)).await;
    client.send(&request(r#""repositories""#)).await;
    client.send(&identified(2, r#""ident""#)).await;
    let Asked::List(list) = stage.asked().await else {
        panic!("no list");
    };
    let Asked::Repositories(repositories) = stage.asked().await else {
        panic!("no repositories");
    };
    // The one with an id is answered while the one without is waited for.
    list.send(Arc::default()).unwrap();
    client.expect(r#"{"id":1,"response":{"list":[]}}"#).await;
    repositories.send(Vec::new()).unwrap();
    client.expect(r#"{"response":{"repositories":[]}}"#).await;
    client
        .expect(r#"{"id":2,"response":{"ident":"me:0.0.1"}}"#)
        .await;
}

#[tokio::test]
async fn an_id_is_used_once_at_a_time() {
    let mut stage = Stage::new(8);
    let (mut client, _) = stage.connect(false, IDS).await;
    client.send(&identified(1, r#""list""#)).await;
    let Asked::List(list) = stage.asked().await else {
        panic!("no list");
    };
    client.send(&identified(1, r#""ident""#)).await;
    client
        .expect(r#"{"id":1,"response":{"error":{"duplicate_id":{"id":1}}}}"#)
        .await;
    list.send(Arc::default()).unwrap();
    client.expect(r#"{"id":1,"response":{"list":[]}}"#).await;
    client.send(&identified(1, r#""ident""#)).await;
    client
        .expect(r#"{"id":1,"response":{"ident":"me:0.0.1"}}"#)
        .await;
}

#[tokio::test]
async fn only_so_many_are_under_way() {
    let mut stage = Stage::new(8);
    let (mut client, granted) = stage.connect(false, IDS).await;
    let most = granted["limits"]["max_pending_requests"].as_u64().unwrap();
    for id in 0..=most {
        client.send(&identified(id, r#""list""#)).await;
    }
    let mut lists = Vec::new();
    for _ in 0..most {
        let Asked::List(list) = stage.asked().await else {
            panic!("no list");
        };
        lists.push(list);
    }
    // The last line is read when one of them is answered, and not before.
    client.send(&request(r#""repositories""#)).await;
    lists.swap_remove(0).send(Arc::default()).unwrap();
    client.expect(r#"{"id":0,"response":{"list":[]}}"#).await;
    let Asked::List(last) = stage.asked().await else {
        panic!("no list");
    };
    last.send(Arc::default()).unwrap();
    client
        .expect(&format!(r#"{{"id":{most},"response":{{"list":[]}}}}"#))
        .await;
    assert!(matches!(stage.asked().await, Asked::Repositories(_)));
}

#[tokio::test]
async fn who_has_said_all_gets_all_answers() {
    let mut stage = Stage::new(8);
    let (mut client, _) = stage.connect(false, IDS).await;
    client.send(&identified(1, r#""list""#)).await;
    client.send(&identified(2, r#""repositories""#)).await;
    client.stream.shutdown().await.unwrap();
    let Asked::List(list) = stage.asked().await else {
        panic!("no list");
    };
    let Asked::Repositories(repositories) = stage.asked().await else {
        panic!("no repositories");
    };
    repositories.send(Vec::new()).unwrap();
    client
        .expect(r#"{"id":2,"response":{"repositories":[]}}"#)
        .await;
    list.send(Arc::default()).unwrap();
    client.expect(r#"{"id":1,"response":{"list":[]}}"#).await;
    client.closed().await;
}

#[tokio::test]
async fn what_is_refused_has_its_id_too() {
    let server = Setup {
        permissions: Permissions::none(),
        ..Setup::default()
    }
    .start()
    .await;
    let mut client = server.unix().await;
    client
        .send(&connect(false, r#"{"ids":true,"details":true}"#))
        .await;
    client.next().await.unwrap();
    client.send(&identified(1, r#""list""#)).await;
    client
        .expect(r#"{"id":1,"response":{"permission_denied":"list"}}"#)
        .await;
    client
        .send(&identified(2, r#"{"install":{"repository":"r","size":5}}"#))
        .await;
    client.raw(b"12345").await;
    client
        .expect(
            r#"{"id":2,"response":{"permission_denied":{"install":{"repository":"r","size":5}}}}"#,
        )
        .await;
    client
        .send(&identified(3, r#"{"statistics":{"containers":[]}}"#))
        .await;
    client
        .expect(r#"{"id":3,"response":{"permission_denied":{"statistics":{"containers":[]}}}}"#)
        .await;
    assert_eq!(server.asked(), Vec::<String>::new());
    server.stop().await;
}

#[tokio::test]
async fn answers_and_notifications_come_while_a_package_is_sent() {
    let mut stage = Stage::new(8);
    let (mut client, _) = stage.connect(true, IDS).await;
    client.send(&identified(1, r#""list""#)).await;
    client
        .send(&identified(2, r#"{"install":{"repository":"r","size":4}}"#))
        .await;
    let Asked::List(list) = stage.asked().await else {
        panic!("no list");
    };
    let Asked::Install(repository, 4, install) = stage.asked().await else {
        panic!("no install");
    };
    let (slot, uploading) = script::upload(repository, install.job());
    install.send(Ok(slot)).unwrap();
    client.raw(b"12").await;
    list.send(Arc::default()).unwrap();
    client.expect(r#"{"id":1,"response":{"list":[]}}"#).await;
    stage.script.events.send(Event::Shutdown);
    client.expect(r#"{"notification":"shutdown"}"#).await;
    client.raw(b"34").await;
    // What comes after the last byte holds up nobody.
    client.send(&identified(3, r#""ident""#)).await;
    client
        .expect(r#"{"id":3,"response":{"ident":"me:0.0.1"}}"#)
        .await;
    let bytes = uploading.finish(Ok(container("new:1.0.0"))).await;
    assert_eq!(bytes.unwrap(), b"1234");
    client
        .expect(r#"{"id":2,"response":{"install":{"ok":{"container":"new:1.0.0"}}}}"#)
        .await;
}
