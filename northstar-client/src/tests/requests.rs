//! Requests and notifications.

use std::collections::BTreeMap;

use futures::StreamExt;
use northstar_api::{
    Container, ContainerResult, Error, ExitStatus, Notification, Request, Token, VerificationResult,
};

use super::peer::{Peer, connected};
use crate::{Missed, RequestError, StartOptions};

fn c() -> Container {
    "a:0.0.1".parse().unwrap()
}

/// Expects `request` and answers it with `response`.
async fn exchange(peer: &mut Peer, request: &str, response: &str) {
    let fill = |text: &str| text.replace("$C", r#""a:0.0.1""#);
    assert_eq!(
        peer.line().await,
        format!(r#"{{"request":{}}}"#, fill(request))
    );
    peer.say(&format!(r#"{{"response":{}}}"#, fill(response)))
        .await;
}

macro_rules! exchanges {
    ($($method:ident($($arg:expr),*), $request:expr, $response:expr
        => $expected:pat $(if $guard:expr)?,)*) => {
        let (client, mut peer) = connected(None).await;
        $({
            let serve = exchange(&mut peer, $request, $response);
            let (result, ()) = tokio::join!(client.$method($($arg),*), serve);
            assert!(matches!(&result, $expected $(if $guard)?), "{}: {result:?}", $request);
        })*
    };
}

#[tokio::test]
async fn each_request_and_its_answers() {
    let token = format!("{}==", "A".repeat(54));
    let created = format!(r#"{{"token":"{token}"}}"#);
    let verify = format!(r#"{{"token_verify":{{"token":"{token}","user":"b","shared":"eA=="}}}}"#);
    let options = || StartOptions {
        init: Some("/x".to_owned()),
        arguments: vec!["-v".to_owned()],
        environment: BTreeMap::from([("A".to_owned(), "b".to_owned())]),
    };
    exchanges! {
        ident(), r#""ident""#, r#"{"ident":$C}"# => Ok(x) if *x == c(),
        list(), r#""list""#, r#"{"list":[$C,$C]}"# => Ok(x) if *x == [c(), c()],
        repositories(), r#""repositories""#, r#"{"repositories":["m","n"]}"#
            => Ok(x) if *x == ["m", "n"],
        inspect(c()), r#"{"inspect":{"container":$C}}"#,
            r#"{"inspect":{"ok":{"container":$C,"data":{"manifest":{"name":"a","version":"0.0.1","uid":1,"gid":1},"repository":"m","mounted":true,"process":null,"new":1}}}}"#
            => Ok(data) if data.repository == "m" && data.mounted && data.manifest.container() == c(),
        inspect(c()), r#"{"inspect":{"container":$C}}"#,
            r#"{"inspect":{"error":{"container":$C,"error":{"invalid_container":{"container":$C}}}}}"#
            => Err(RequestError::Server(Error::InvalidContainer { container })) if *container == c(),
        mount([c(), c()]), r#"{"mount":{"containers":[$C,$C]}}"#,
            r#"{"mount":[{"ok":{"container":$C}},{"error":{"container":$C,"error":{"mount_busy":{"container":$C}}}}]}"#
            => Ok(x) if matches!(x.as_slice(), [
                ContainerResult::Ok { .. },
                ContainerResult::Error { error: Error::MountBusy { .. }, .. },
            ]),
        umount([c()]), r#"{"umount":{"containers":[$C]}}"#,
            r#"{"umount":[{"ok":{"container":$C}}]}"# => Ok(x) if x.len() == 1,
        start(c()),
            r#"{"start":{"container":$C,"init":null,"arguments":[],"environment":{}}}"#,
            r#"{"start":{"ok":{"container":$C}}}"# => Ok(()),
        start_with(c(), options()),
            r#"{"start":{"container":$C,"init":"/x","arguments":["-v"],"environment":{"A":"b"}}}"#,
            r#"{"start":{"error":{"container":$C,"error":{"start_container_started":{"container":$C}}}}}"#
            => Err(RequestError::Server(Error::StartContainerStarted { .. })),
        kill(c(), 9), r#"{"kill":{"container":$C,"signal":9}}"#,
            r#"{"kill":{"error":{"container":$C,"error":{"stop_container_not_started":{"container":$C}}}}}"#
            => Err(RequestError::Server(Error::StopContainerNotStarted { .. })),
        kill(c(), 15), r#"{"kill":{"container":$C,"signal":15}}"#,
            r#"{"kill":{"ok":{"container":$C}}}"# => Ok(()),
        uninstall(c(), true), r#"{"uninstall":{"container":$C,"wipe":true}}"#,
            r#"{"uninstall":{"ok":{"container":$C}}}"# => Ok(()),
        create_token("b".parse().unwrap(), vec![120]),
            r#"{"token_create":{"target":"b","shared":"eA=="}}"#, &created
            => Ok(x) if *x == Token::from([0; 40]),
        verify_token(Token::from([0; 40]), "b".parse().unwrap(), vec![120]),
            &verify, r#"{"token_verification":"Expired"}"# => Ok(VerificationResult::Expired),
        list(), r#""list""#, r#"{"permission_denied":"list"}"#
            => Err(RequestError::PermissionDenied(request)) if **request == Request::List,
        list(), r#""list""#, r#""shutdown""# => Err(RequestError::Unexpected(_)),
        shutdown(), r#""shutdown""#, r#""shutdown""# => Ok(()),
    }
}

#[tokio::test]
async fn the_raw_line_is_the_one_that_was_sent() {
    let (client, mut peer) = connected(None).await;
    // Keys that this client does not know, and spaces.
    let line = r#"{ "response":{"start":{"error":{"container":"a:0.0.1","error":{"start_container_failed":{"container":"a:0.0.1","error":"x","errno":2}}}}}}"#;
    let request = Request::Start {
        container: c(),
        init: None,
        arguments: vec![],
        environment: BTreeMap::new(),
    };
    let (answer, ()) = tokio::join!(client.request(request), async {
        peer.line().await;
        peer.say(line).await;
    });
    let answer = answer.unwrap();
    assert_eq!(answer.line, line);
    assert!(!answer.response.is_ok());
}

#[tokio::test]
async fn requests_at_the_same_time_get_their_own_answers() {
    let (client, mut peer) = connected(None).await;
    let serve = async {
        // Not answered before all of them are there.
        let mut requests = Vec::new();
        for _ in 0..3 {
            requests.push(peer.line().await);
        }
        for request in requests {
            let answer = match request.as_str() {
                r#"{"request":"list"}"# => r#"{"list":["a:0.0.1"]}"#,
                r#"{"request":"ident"}"# => r#"{"ident":"b:0.0.2"}"#,
                r#"{"request":"repositories"}"# => r#"{"repositories":["r"]}"#,
                other => panic!("{other}"),
            };
            peer.say(&format!(r#"{{"response":{answer}}}"#)).await;
        }
    };
    let (list, ident, repositories, ()) =
        tokio::join!(client.list(), client.ident(), client.repositories(), serve);
    assert_eq!(list.unwrap(), [c()]);
    assert_eq!(ident.unwrap().to_string(), "b:0.0.2");
    assert_eq!(repositories.unwrap(), ["r"]);
}

#[tokio::test]
async fn a_dropped_request_leaves_the_connection_as_it_should_be() {
    let (client, mut peer) = connected(None).await;
    tokio::select! {
        biased;
        _ = client.list() => panic!("nobody answered yet"),
        line = peer.line() => assert_eq!(line, r#"{"request":"list"}"#),
    }
    let (ident, ()) = tokio::join!(client.ident(), async {
        assert_eq!(peer.line().await, r#"{"request":"ident"}"#);
        peer.say(r#"{"response":{"list":["a:0.0.1"]}}"#).await;
        peer.say(r#"{"response":{"ident":"b:0.0.2"}}"#).await;
    });
    assert_eq!(ident.unwrap().to_string(), "b:0.0.2");
}

#[tokio::test]
async fn notifications_between_a_request_and_its_answer() {
    let (client, mut peer) = connected(Some(10)).await;
    let (list, ()) = tokio::join!(client.list(), async {
        peer.line().await;
        peer.say(r#"{"notification":{"started":"a:0.0.1"}}"#).await;
        peer.say(r#"{"notification":{"exit":["a:0.0.1",{"exit":{"code":7}}]}}"#)
            .await;
        peer.say(r#"{"response":{"list":[]}}"#).await;
    });
    assert_eq!(list.unwrap(), []);
    // They came before the stream was asked for.
    let seen: Vec<_> = client.notifications().take(2).collect().await;
    let status = ExitStatus::Exit { code: 7 };
    assert_eq!(
        seen,
        [
            Ok(Notification::Started(c())),
            Ok(Notification::Exit(c(), status.into()))
        ]
    );

    // A second stream starts with its creation.
    let mut second = client.notifications();
    peer.say(r#"{"notification":"shutdown"}"#).await;
    assert_eq!(second.next().await, Some(Ok(Notification::Shutdown)));
    drop(peer);
    assert_eq!(second.next().await, None);
}

#[tokio::test]
async fn a_slow_reader_is_told_what_it_missed_and_holds_up_nobody() {
    let (client, mut peer) = connected(Some(4)).await;
    let mut notifications = client.notifications();
    let (list, ()) = tokio::join!(client.list(), async {
        peer.line().await;
        for i in 0..20 {
            peer.say(&format!(r#"{{"notification":{{"started":"a:0.0.{i}"}}}}"#))
                .await;
        }
        peer.say(r#"{"response":{"list":[]}}"#).await;
    });
    list.unwrap();
    assert_eq!(notifications.next().await, Some(Err(Missed { count: 16 })));
    let next = notifications.next().await.unwrap().unwrap();
    assert_eq!(next, Notification::Started("a:0.0.16".parse().unwrap()));
}
