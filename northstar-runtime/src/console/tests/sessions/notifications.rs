//! What subscribers are told, and the end.

use super::*;

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
    let (handle, mut script) = script::script(8, &repositories());
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
