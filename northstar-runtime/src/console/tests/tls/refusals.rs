//! Clients that do not get in, and those that do not keep their place.

use super::{
    authority::{Authority, Names},
    site::{Site, cut},
};
use crate::{
    config::{ConnectionOptions, ListenerOptions},
    console::tests::{CONNECT, DEADLINE, request},
};
use rustls::AlertDescription;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

#[tokio::test]
async fn who_has_no_good_certificate_is_refused_and_told_why() {
    let site = Site::start().await;
    let stranger = Authority::new("clients");
    let cases = [
        (None, AlertDescription::CertificateRequired),
        (
            Some(stranger.issue(Names::common("fleet"))),
            AlertDescription::DecryptError,
        ),
        (
            Some(Authority::new("others").issue(Names::common("fleet"))),
            AlertDescription::UnknownCA,
        ),
        (
            Some(site.clients.issue(Names::common("fleet").expired())),
            AlertDescription::CertificateExpired,
        ),
        (
            Some(site.clients.issue(Names::common("fleet").not_yet_valid())),
            AlertDescription::CertificateExpired,
        ),
        // A certificate of a server is none of a client.
        (
            Some(site.clients.issue(Names::common("fleet").for_servers())),
            AlertDescription::UnsupportedCertificate,
        ),
        (
            Some(site.clients.issue(Names::common("somebody"))),
            AlertDescription::AccessDenied,
        ),
        // The name counts in its own place alone, and as a whole.
        (
            Some(site.clients.issue(Names::dns("fleet"))),
            AlertDescription::AccessDenied,
        ),
        (
            Some(site.clients.issue(Names::common("viewer.example.org"))),
            AlertDescription::AccessDenied,
        ),
        (
            Some(site.clients.issue(Names::dns("*.example.org"))),
            AlertDescription::AccessDenied,
        ),
        (
            Some(
                site.clients
                    .issue(Names::common("somebody").and_common("fleet")),
            ),
            AlertDescription::AccessDenied,
        ),
    ];
    for (index, (identity, expected)) in cases.iter().enumerate() {
        let alert = site.alert(site.config(identity.as_ref())).await;
        assert_eq!(alert, *expected, "case {index}");
    }
    assert!(site.record.lock().unwrap().asked.is_empty());
    site.works().await;
    site.stop().await;
}

#[tokio::test]
async fn tls_before_1_3_is_refused() {
    let site = Site::start().await;
    let fleet = site.clients.issue(Names::common("fleet"));
    let config = site.config_with(Some(&fleet), &[&rustls::version::TLS12]);
    assert_eq!(site.alert(config).await, AlertDescription::ProtocolVersion);
    site.stop().await;
}

#[tokio::test]
async fn plain_lines_get_no_answer_from_a_tls_console() {
    let site = Site::start().await;
    let mut stream = site.tcp().await;
    stream
        .write_all(format!("{CONNECT}\n{}\n", request(r#""shutdown""#)).as_bytes())
        .await
        .unwrap();
    let mut answer = Vec::new();
    // What was not read by the server may be reset.
    let _ = timeout(DEADLINE, stream.read_to_end(&mut answer))
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&answer);
    assert!(!text.contains("connect_ack"), "{text}");
    assert!(site.record.lock().unwrap().asked.is_empty());
    site.works().await;
    site.stop().await;
}

#[tokio::test]
async fn who_is_slow_in_the_handshake_is_closed() {
    let options = ConnectionOptions {
        connect_timeout: Some(Duration::from_millis(50)),
        ..ConnectionOptions::default()
    };
    let site = Site::with(ListenerOptions::default(), options).await;
    let closed = async |mut stream: TcpStream| {
        let end = timeout(DEADLINE, stream.read(&mut [0; 64])).await.unwrap();
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    };
    // Says nothing.
    closed(site.tcp().await).await;
    // Begins a record of 256 bytes.
    let mut stream = site.tcp().await;
    stream.write_all(&[0x16, 3, 1, 1, 0]).await.unwrap();
    closed(stream).await;
    // Completes the handshake and does not say `connect`: it is the same deadline.
    let fleet = site.clients.issue(Names::common("fleet"));
    cut(site.client(&fleet).await).await;
    site.stop().await;
}

#[tokio::test]
async fn the_places_count_from_accept() {
    let limits = ListenerOptions {
        max_pending_connections: 1,
        max_connections_per_peer: 1,
        ..ListenerOptions::default()
    };
    let site = Site::with(limits, ConnectionOptions::default()).await;
    let mut silent = site.tcp().await;
    // Takes the place of the one that has not even begun.
    let fleet = site.clients.issue(Names::common("fleet"));
    let mut client = site.client(&fleet).await.connect().await;
    let end = timeout(DEADLINE, silent.read(&mut [0; 1])).await.unwrap();
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    // And is the only one of its address.
    let mut second = site.client(&fleet).await;
    second.send(CONNECT).await;
    cut(second).await;
    client.works().await;
    site.stop().await;
}
