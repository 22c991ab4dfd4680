//! Clients that get in.

use super::{authority::Names, site::Site};
use crate::{
    console::tests::{Client, DEADLINE, SUBSCRIBE, container, json, request},
    supervisor::Event,
};
use rustls::HandshakeKind;
use std::sync::Arc;
use tokio::{net::TcpSocket, time::timeout};
use tokio_rustls::TlsConnector;

#[tokio::test]
async fn the_subject_decides_what_a_client_may_do() {
    let site = Site::start().await;
    let fleet = site.clients.issue(Names::common("fleet"));
    let viewer = site.clients.issue(Names::dns("Viewer.example.org"));
    let ident = site.clients.issue(Names::uri("spiffe://example.org/ident"));
    let list = json(r#"{"list":["app:1.0.0","lib:0.1.0"]}"#);
    let me = json(r#"{"ident":"extern:0.0.0"}"#);
    let no_list = json(r#"{"permission_denied":"list"}"#);
    let no_ident = json(r#"{"permission_denied":"ident"}"#);
    for (identity, of_list, of_ident) in [
        (&fleet, &list, &me),
        (&viewer, &list, &no_ident),
        (&ident, &no_list, &me),
    ] {
        let mut client = site.client(identity).await.connect().await;
        assert_eq!(client.ask(r#""list""#).await, *of_list);
        assert_eq!(client.ask(r#""ident""#).await, *of_ident);
    }
    // Nor may who has no permission for it subscribe.
    let mut client = site.client(&viewer).await;
    client.send(SUBSCRIBE).await;
    client
        .expect(r#"{"connect_nack":"permission_denied"}"#)
        .await;
    client.closed().await;
    site.stop().await;
}

#[tokio::test]
async fn a_session_of_0_9_2_over_tls() {
    let site = Site::start().await;
    let fleet = site.clients.issue(Names::common("fleet"));
    let mut client = site.client(&fleet).await.subscribe().await;
    let start =
        r#"{"start":{"container":"app:1.0.0","init":null,"arguments":[],"environment":{}}}"#;
    client.send(&request(start)).await;
    // In either order: they come from different sources.
    let mut messages = [client.next().await.unwrap(), client.next().await.unwrap()];
    messages.sort_by_key(|message| message.get("response").is_some());
    assert_eq!(
        messages[0],
        json(r#"{"notification":{"started":"app:1.0.0"}}"#)
    );
    let started = json(r#"{"response":{"start":{"ok":{"container":"app:1.0.0"}}}}"#);
    assert_eq!(messages[1], started);

    // Larger than a TLS record (RFC 8446, 5.1).
    let package: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
    let install = format!(
        r#"{{"install":{{"repository":"default","size":{}}}}}"#,
        package.len()
    );
    client.send(&request(&install)).await;
    client.raw(&package).await;
    client
        .expect(r#"{"response":{"install":{"ok":{"container":"new:0.0.1"}}}}"#)
        .await;
    let uploads = site.record.lock().unwrap().uploads.clone();
    assert!(uploads == [Some(package)]);

    site.events.send(Event::Uninstalled(container("app:1.0.0")));
    client
        .expect(r#"{"notification":{"uninstall":"app:1.0.0"}}"#)
        .await;
    client.works().await;
    site.stop().await;
    client.closed().await;
}

/// TLS holds back what the socket has no room for.
#[tokio::test]
async fn an_answer_arrives_as_a_whole_if_the_client_reads_slowly() {
    let site = Site::start().await;
    let viewer = site.clients.issue(Names::dns("viewer.example.org"));
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let address = site.listening.urls[0].strip_prefix("tls://").unwrap();
    let tcp = socket.connect(address.parse().unwrap()).await.unwrap();
    let connector = TlsConnector::from(Arc::new(site.config(Some(&viewer))));
    let name = "localhost".try_into().unwrap();
    let stream = timeout(DEADLINE, connector.connect(name, tcp)).await;
    let mut client = Client::new(stream.unwrap().unwrap()).connect().await;
    for size in [100_000, 300_000, 500_000] {
        let denied = format!(
            r#"{{"token_create":{{"target":"b","shared":"{}"}}}}"#,
            "AAAA".repeat(size / 4)
        );
        client.send(&request(&denied)).await;
        client
            .expect(&format!(
                r#"{{"response":{{"permission_denied":{denied}}}}}"#
            ))
            .await;
    }
    site.stop().await;
}

#[tokio::test]
async fn a_session_is_never_resumed() {
    let site = Site::start().await;
    let fleet = site.clients.issue(Names::common("fleet"));
    let config = Arc::new(site.config(Some(&fleet)));
    for _ in 0..2 {
        let connector = TlsConnector::from(Arc::clone(&config));
        let name = "localhost".try_into().unwrap();
        let stream = connector.connect(name, site.tcp().await).await.unwrap();
        let mut client = Client::new(stream).connect().await;
        // A ticket would have come with the answer.
        client.works().await;
        let stream = client.stream.into_inner();
        let (_, connection) = stream.get_ref();
        assert_eq!(connection.handshake_kind(), Some(HandshakeKind::Full));
    }
    site.stop().await;
}
