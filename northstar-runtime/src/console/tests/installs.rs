//! Installs: the raw bytes between the lines.

use super::*;
use std::time::Instant;

const OK: &str = r#"{"response":{"install":{"ok":{"container":"new:0.0.1"}}}}"#;

fn install(repository: &str, size: usize) -> String {
    request(&format!(
        r#"{{"install":{{"repository":"{repository}","size":{size}}}}}"#
    )) + "\n"
}

fn package(size: usize) -> Vec<u8> {
    (0..size).map(|n| (n % 251) as u8).collect()
}

#[tokio::test]
async fn exactly_the_announced_bytes_reach_the_supervisor() {
    let server = Setup::default().start().await;
    let mut client = server.tcp().await.connect().await;
    for (index, size) in [0, 1, 4096, 1_000_003].into_iter().enumerate() {
        client.raw(install("default", size).as_bytes()).await;
        client.raw(&package(size)).await;
        client.expect(OK).await;
        let uploads = server.uploads(index + 1).await;
        assert_eq!(uploads[index].as_deref(), Some(package(size).as_slice()));
    }
    assert_eq!(server.asked().len(), 4);
    server.stop().await;
}

#[tokio::test]
async fn a_package_may_arrive_byte_by_byte() {
    let server = Setup::default().start().await;
    let mut client = server.tcp().await.connect().await;
    client.stream.get_ref().set_nodelay(true).unwrap();
    let package = package(5000);
    client.raw(install("default", 5000).as_bytes()).await;
    for byte in &package {
        client.raw(&[*byte]).await;
        tokio::task::yield_now().await;
    }
    client.expect(OK).await;
    assert_eq!(server.uploads(1).await, [Some(package)]);
    server.stop().await;
}

#[tokio::test]
async fn the_next_request_may_come_in_the_same_packet() {
    let server = Setup::default().start().await;
    let mut client = server.unix().await.connect().await;
    let next = request(r#""list""#) + "\n";
    let parts = [
        install("default", 10).as_bytes(),
        &package(10),
        next.as_bytes(),
    ]
    .concat();
    client.raw(&parts).await;
    client.expect(OK).await;
    client
        .expect(r#"{"response":{"list":["app:1.0.0","lib:0.1.0"]}}"#)
        .await;
    server.stop().await;
}

#[tokio::test]
async fn one_byte_too_many_is_the_beginning_of_the_next_line() {
    let server = Setup::default().start().await;
    let mut client = server.tcp().await.connect().await;
    let next = request(r#""ident""#) + "\n";
    client
        .raw(
            &[
                install("default", 10).as_bytes(),
                &package(11),
                next.as_bytes(),
            ]
            .concat(),
        )
        .await;
    client.expect(OK).await;
    assert_eq!(
        server.uploads(1).await[0].as_deref(),
        Some(package(10).as_slice())
    );
    client.closed().await;
    server.tcp().await.connect().await.works().await;
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_aborts_its_install_alone() {
    let server = Setup::default().start().await;
    let mut other = server.unix().await.connect().await;
    let mut client = server.tcp().await.connect().await;
    client
        .raw(&[install("default", 10).as_bytes(), &package(9)].concat())
        .await;
    drop(client);
    assert_eq!(server.uploads(1).await, [None]);
    other.works().await;
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_says_it_has_sent_all_is_told_that_it_has_not() {
    let server = Setup::default().start().await;
    let mut client = server.unix().await.connect().await;
    client
        .raw(&[install("default", 10).as_bytes(), &package(9)].concat())
        .await;
    client.stream.get_mut().shutdown().await.unwrap();
    client
        .expect(r#"{"response":{"install":{"error":{"error":{"unexpected":{"error":"the connection was closed 1 bytes before the end of a package"}}}}}}"#)
        .await;
    client.closed().await;
    assert_eq!(server.uploads(1).await, [None]);
    server.stop().await;
}

#[tokio::test]
async fn a_refused_package_is_read_to_its_end_and_the_connection_stays() {
    let server = Setup::default().start().await;
    let mut client = server.tcp().await.connect().await;
    let size = 3_000_000;
    let table = [
        ("none", r#"{"invalid_repository":{"repository":"none"}}"#),
        ("../x", r#"{"invalid_repository":{"repository":"../x"}}"#),
        ("deaf", r#"{"install_duplicate":{"container":"app:1.0.0"}}"#),
    ];
    for (repository, error) in table {
        client.raw(install(repository, size).as_bytes()).await;
        client.raw(&package(size)).await;
        client
            .expect(&format!(
                r#"{{"response":{{"install":{{"error":{{"error":{error}}}}}}}}}"#
            ))
            .await;
        client.works().await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_package_beyond_the_limit_is_answered_and_the_connection_closed() {
    let mut setup = Setup::default();
    setup.options.max_npk_install_size = 1000;
    setup.options.stall_timeout = Duration::from_secs(5);
    let server = setup.start().await;
    for sent in [0, 1001, 3_000_000] {
        let mut client = server.tcp().await.connect().await;
        client.raw(install("default", 3_000_000).as_bytes()).await;
        // The client of 0.9.2 sends all of it before it looks for the answer.
        client.raw(&package(sent)).await;
        client
            .expect(r#"{"response":{"install":{"error":{"error":{"unexpected":{"error":"a package of 3000000 bytes is too large (at most 1000 bytes)"}}}}}}"#)
            .await;
        client.closed().await;
    }
    assert_eq!(server.asked(), Vec::<String>::new());
    let mut client = server.tcp().await.connect().await;
    client
        .raw(&[install("default", 1000).as_bytes(), &package(1000)].concat())
        .await;
    client.expect(OK).await;
    server.stop().await;
}

#[tokio::test]
async fn a_denied_package_beyond_the_limit_is_denied_and_the_connection_closed() {
    let mut setup = Setup {
        permissions: Permissions::none(),
        ..Setup::default()
    };
    setup.options.max_npk_install_size = 10;
    let server = setup.start().await;
    let mut client = server.unix().await.connect().await;
    client.raw(install("default", 11).as_bytes()).await;
    client
        .expect(
            r#"{"response":{"permission_denied":{"install":{"repository":"default","size":11}}}}"#,
        )
        .await;
    client.closed().await;
    server.stop().await;
}

#[tokio::test]
async fn a_stream_that_stops_is_answered_and_closed_and_nobody_else_waits() {
    let mut setup = Setup::default();
    setup.options.npk_stream_timeout = Duration::from_millis(300);
    let server = setup.start().await;
    let mut other = server.unix().await.connect().await;
    let mut stopped = server.tcp().await.connect().await;
    let started = Instant::now();
    stopped
        .raw(&[install("default", 10).as_bytes(), &package(9)].concat())
        .await;
    let mut refused = server.tcp().await.connect().await;
    refused.raw(install("none", 10).as_bytes()).await;
    for _ in 0..10 {
        other.works().await;
    }
    assert!(
        started.elapsed() < Duration::from_millis(300),
        "{:?}",
        started.elapsed()
    );
    for client in [&mut stopped, &mut refused] {
        let response = client.next().await.unwrap();
        let error = &response["response"]["install"]["error"]["error"];
        assert!(error["unexpected"]["error"].is_string(), "{response}");
        client.closed().await;
    }
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert_eq!(server.uploads(1).await, [None]);
    server.stop().await;
}

#[tokio::test]
async fn sixty_four_trickling_installs_are_all_cut_while_others_are_served() {
    let mut setup = Setup::default();
    setup.options.npk_stream_timeout = Duration::from_millis(500);
    let server = setup.start().await;
    let mut trickles = Vec::new();
    for _ in 0..64 {
        let mut client = server.tcp().await.connect().await;
        client.raw(install("default", 1_000_000).as_bytes()).await;
        trickles.push(tokio::spawn(async move {
            // Often enough for the pause, far too little for the rate.
            while client.stream.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }));
    }
    let mut other = server.unix().await.connect().await;
    let started = Instant::now();
    while !trickles.iter().all(tokio::task::JoinHandle::is_finished) {
        other.works().await;
        assert!(started.elapsed() < DEADLINE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(server.uploads(64).await, vec![None; 64]);
    server.stop().await;
}

#[tokio::test]
async fn a_name_that_can_be_none_is_denied_in_short() {
    let setup = Setup {
        permissions: Permissions::none(),
        ..Setup::default()
    };
    let server = setup.start().await;
    let mut client = server.tcp().await.connect().await;
    let repository = "r".repeat(100_000);
    client
        .send(&request(&format!(
            r#"{{"install":{{"repository":"{repository}","size":3}}}}"#
        )))
        .await;
    client.raw(b"abc").await;
    let answer = client.next().await.unwrap();
    let denied = &answer["response"]["permission_denied"]["install"];
    assert_eq!(denied["repository"].as_str().unwrap().len(), 256);
    assert_eq!(denied["size"], 3);
    // The next line is one.
    let denied = json(r#"{"permission_denied":"ident"}"#);
    assert_eq!(client.ask(r#""ident""#).await, denied);
    server.stop().await;
}
