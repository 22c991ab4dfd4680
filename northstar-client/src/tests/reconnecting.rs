//! A connection that comes back.

use std::time::Duration;

use northstar_api::{Notification, Resume};
use tokio::{net::UnixListener, time::timeout};

use super::peer::{DEADLINE, Peer, granted};
use crate::{
    Backoff, ConnectError, Connected, Endpoint, Event, Gap, Happening, Options, Reconnecting,
    RequestError,
};

const QUICK: Backoff = Backoff {
    first: Duration::from_millis(1),
    longest: Duration::from_millis(5),
};

struct Server {
    listener: UnixListener,
    _dir: tempfile::TempDir,
}

impl Server {
    fn new() -> (Server, Endpoint) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let server = Server {
            listener,
            _dir: dir,
        };
        (server, Endpoint::Unix(path))
    }

    /// Accepts a client, returns what it asks to go on after, and answers with `ack`.
    async fn accept(&self, ack: &str) -> (Peer, serde_json::Value) {
        let accepted = timeout(DEADLINE, self.listener.accept()).await.unwrap();
        let mut peer = Peer::new(accepted.unwrap().0);
        let connect: serde_json::Value = serde_json::from_str(&peer.line().await).unwrap();
        peer.say(ack).await;
        (peer, connect["connect"]["extensions"]["resume"].clone())
    }
}

fn options() -> Options {
    Options::default().with_notifications(4)
}

async fn next(link: &mut Reconnecting) -> Happening {
    timeout(DEADLINE, link.next()).await.unwrap().unwrap()
}

async fn connected(link: &mut Reconnecting) -> bool {
    match next(link).await {
        Happening::Connected(Connected { complete }) => complete,
        other => panic!("{other:?}"),
    }
}

async fn disconnected(link: &mut Reconnecting) {
    let happening = next(link).await;
    assert!(
        matches!(happening, Happening::Disconnected(_)),
        "{happening:?}"
    );
}

async fn gap(link: &mut Reconnecting) -> Gap {
    match next(link).await {
        Happening::Gap(gap) => gap,
        other => panic!("{other:?}"),
    }
}

async fn event(link: &mut Reconnecting) -> Option<u64> {
    match next(link).await {
        Happening::Event(Event {
            sequence,
            notification: Notification::Shutdown,
        }) => sequence,
        other => panic!("{other:?}"),
    }
}

fn shutdown(sequence: u64) -> String {
    format!(r#"{{"sequence":{sequence},"notification":"shutdown"}}"#)
}

fn position(instance: &str, sequence: u64) -> Resume {
    Resume {
        instance: instance.to_owned(),
        sequence,
    }
}

fn ack(instance: &str, sequence: u64, resumed: bool) -> String {
    granted(r#""sequence""#, instance, sequence, resumed)
}

#[tokio::test]
async fn events_go_on_where_they_were_lost() {
    let (server, endpoint) = Server::new();
    let mut link = Reconnecting::new(endpoint, options(), QUICK);
    let (mut peer, resume) = server.accept(&ack("a", 7, false)).await;
    assert!(resume.is_null());
    peer.say(&shutdown(8)).await;
    assert!(connected(&mut link).await);
    assert_eq!(event(&mut link).await, Some(8));
    assert_eq!(link.position(), Some(&position("a", 8)));
    drop(peer);
    disconnected(&mut link).await;

    let (mut peer, resume) = server.accept(&ack("a", 10, true)).await;
    assert_eq!(resume, serde_json::json!({"instance": "a", "sequence": 8}));
    assert!(connected(&mut link).await);
    for sequence in [9, 10, 11] {
        peer.say(&shutdown(sequence)).await;
        assert_eq!(event(&mut link).await, Some(sequence));
    }
    assert_eq!(link.position(), Some(&position("a", 11)));
}

#[tokio::test]
async fn each_way_to_lose_events_is_a_gap_of_its_own() {
    let (server, endpoint) = Server::new();
    let options = options().resume(position("old", 99));
    let mut link = Reconnecting::new(endpoint, options, QUICK);
    // Another run of the daemon than the process before has seen.
    let (peer, resume) = server.accept(&ack("a", 7, false)).await;
    assert_eq!(resume["instance"], "old");
    assert!(!connected(&mut link).await);
    assert_eq!(gap(&mut link).await, Gap::Restarted);
    assert_eq!(link.position(), Some(&position("a", 7)));
    drop(peer);
    disconnected(&mut link).await;

    let (mut peer, resume) = server.accept(&ack("a", 2000, false)).await;
    assert_eq!(resume["sequence"], 7);
    assert!(!connected(&mut link).await);
    assert_eq!(gap(&mut link).await, Gap::Forgotten);
    peer.say(r#"{"sequence":2009,"notification":{"lagged":{"missed":9}}}"#)
        .await;
    assert_eq!(gap(&mut link).await, Gap::Missed { count: 9 });
    assert_eq!(link.position(), Some(&position("a", 2009)));
    drop(peer);
    disconnected(&mut link).await;

    // A daemon of 0.9.2 in its place.
    let (mut peer, _) = server.accept(r#"{"connect_ack":null}"#).await;
    assert!(!connected(&mut link).await);
    assert_eq!(gap(&mut link).await, Gap::Unnumbered);
    peer.say(r#"{"notification":"shutdown"}"#).await;
    assert_eq!(event(&mut link).await, None);
    assert_eq!(link.position(), None);
    drop(peer);
    disconnected(&mut link).await;
    let (_peer, resume) = server.accept(&ack("b", 1, false)).await;
    assert!(resume.is_null());
    assert!(!connected(&mut link).await);
    assert_eq!(gap(&mut link).await, Gap::Unnumbered);
}

#[tokio::test]
async fn a_slow_reader_gets_every_event_as_long_as_the_server_has_it() {
    let (server, endpoint) = Server::new();
    let mut link = Reconnecting::new(endpoint, options(), QUICK);
    let serve = async {
        let mut sent = 0;
        let (mut peer, _) = server.accept(&ack("a", 0, false)).await;
        // Far more than the client keeps: it hangs up and asks again for what it could not take.
        loop {
            for _ in 0..500 {
                if sent == 500 {
                    break;
                }
                sent += 1;
                peer.say_if_open(&shutdown(sent)).await;
            }
            let ack = ack("a", 500, true);
            let accepted = timeout(DEADLINE, server.accept(&ack));
            let (next, resume) = accepted.await.unwrap();
            peer = next;
            sent = resume["sequence"].as_u64().unwrap();
        }
    };
    let read = async {
        let mut expected = 1;
        while expected <= 500 {
            match next(&mut link).await {
                Happening::Event(Event { sequence, .. }) => {
                    assert_eq!(sequence, Some(expected));
                    expected += 1;
                    tokio::task::yield_now().await;
                }
                Happening::Connected(Connected { complete }) => assert!(complete),
                Happening::Disconnected(_) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::select! {
        () = read => {}
        () = serve => {}
    }
}

/// A server that is full closes at once. It has not forgotten the events, and knows what it was asked for.
#[tokio::test]
async fn a_server_that_closes_at_once_does_not_cost_the_position() {
    let (server, endpoint) = Server::new();
    let mut link = Reconnecting::new(endpoint, options(), QUICK);
    let handle = link.handle();
    let (mut peer, _) = server.accept(&ack("a", 7, false)).await;
    peer.say(&shutdown(8)).await;
    assert!(connected(&mut link).await);
    assert!(handle.current().is_some());
    assert_eq!(event(&mut link).await, Some(8));
    drop(peer);
    disconnected(&mut link).await;
    for _ in 0..2 {
        assert!(handle.current().is_none());
        let full = timeout(DEADLINE, server.listener.accept()).await.unwrap();
        Peer::new(full.unwrap().0).line().await;
        match next(&mut link).await {
            Happening::Unreachable { error, .. } => {
                assert!(matches!(*error, ConnectError::Closed), "{error:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    let (_peer, resume) = server.accept(&ack("a", 9, true)).await;
    assert_eq!(resume, serde_json::json!({"instance": "a", "sequence": 8}));
    assert!(connected(&mut link).await);
}

#[tokio::test]
async fn any_number_of_events_may_be_asked_for() {
    let (server, endpoint) = Server::new();
    let options = Options::default().with_notifications(usize::MAX);
    let mut link = Reconnecting::new(endpoint, options, QUICK);
    let (mut peer, _) = server.accept(&ack("a", 7, false)).await;
    peer.say(&shutdown(8)).await;
    assert!(connected(&mut link).await);
    assert_eq!(event(&mut link).await, Some(8));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let mut link = Reconnecting::new(Endpoint::Unix(path.clone()), options(), QUICK);
    for _ in 0..3 {
        match next(&mut link).await {
            Happening::Unreachable { error, pause } => {
                assert!(matches!(*error, ConnectError::Unreachable { .. }));
                assert!(pause <= QUICK.longest);
            }
            other => panic!("{other:?}"),
        }
    }
    let server = Server {
        listener: UnixListener::bind(&path).unwrap(),
        _dir: dir,
    };
    let (_peer, _) = server.accept(&ack("a", 0, false)).await;
    loop {
        match next(&mut link).await {
            Happening::Connected(_) => break,
            Happening::Unreachable { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn requests_are_made_again_on_the_next_connection() {
    let (server, endpoint) = Server::new();
    let link = Reconnecting::new(endpoint, Options::default(), QUICK);
    let handle = link.handle();
    let serve = async {
        let (mut first, _) = server.accept(r#"{"connect_ack":null}"#).await;
        assert_eq!(first.line().await, r#"{"request":"list"}"#);
        drop(first);
        let (mut second, _) = server.accept(r#"{"connect_ack":null}"#).await;
        assert_eq!(second.line().await, r#"{"request":"list"}"#);
        second.say(r#"{"response":{"list":["a:0.0.1"]}}"#).await;
        second
    };
    let ask = handle.retry(|client| async move { client.list().await });
    let (list, _peer) = timeout(DEADLINE, async { tokio::join!(ask, serve) })
        .await
        .unwrap();
    assert_eq!(list.unwrap(), ["a:0.0.1".parse().unwrap()]);

    drop(link);
    let gone = timeout(DEADLINE, async {
        loop {
            match handle.client().await {
                Err(error) => return error,
                // Until the task has ended.
                Ok(_) => tokio::task::yield_now().await,
            }
        }
    });
    assert!(matches!(gone.await.unwrap(), RequestError::Closed(_)));
}
