//! Many clients that mean harm, over TCP. What they cost is bounded, and others are served.

use crate::{
    harness::{Site, eventually},
    served::Served,
};
use serde_json::json;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};
use tokio::{net::TcpSocket, runtime};

const CONNECT: &[u8] = b"{\"connect\":{\"version\":\"0.9.2\",\"subscribe_notifications\":false}}\n";
const CONNECT_IDS: &str = "{\"connect\":{\"version\":\"0.9.2\",\"subscribe_notifications\":false,\"extensions\":{\"ids\":true,\"details\":true}}}\n";
/// More threads than the daemon ever needs for what clients ask.
const THREADS: u64 = 64;
/// What the daemon may have more while it is under attack, in KiB.
const MORE: u64 = 64 * 1024;

/// One that does as its number says and then just holds its connection.
fn misbehave(address: &str, number: usize) -> Option<TcpStream> {
    // The daemon may have no place for it.
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_nonblocking(true).ok()?;
    let requests = b"{\"request\":\"list\"}\n".repeat(1000);
    let parts: &[&[u8]] = match number % 5 {
        0 => &[],
        1 => &[b"\xff\xfe{}[]\n"],
        2 => &[b"{\"connect\":"],
        3 => &[CONNECT, &[b'x'; 900_000]],
        _ => &[CONNECT, &requests],
    };
    for part in parts {
        // As much as goes in without waiting.
        let _ = stream.write(part);
    }
    Some(stream)
}

#[test]
fn a_thousand_clients_cost_a_bounded_amount_of_memory() {
    let site = Site::new();
    let app = site.shell("app", "exit 0", "", "");
    let served = Served::start(&site, "", "", None);
    let before = served.memory("VmRSS");
    let mut crowd: Vec<_> = (0..1000)
        .map(|number| misbehave(&served.tcp, number))
        .collect();
    for _ in 0..20 {
        for stream in crowd.iter_mut().flatten() {
            let _ = stream.write(&[b'x'; 60_000]);
        }
        assert_eq!(served.list().unwrap()["response"]["list"], json!([app]));
    }
    let most = served.memory("VmHWM");
    assert!(most < before + MORE, "{before} KiB, then {most} KiB");
    // Those that were thrown out know it.
    let mut buffer = vec![0; 1 << 20];
    let mut thrown_out = 0;
    for stream in crowd.iter_mut().flatten() {
        thrown_out += match stream.read(&mut buffer) {
            Ok(0) => 1,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 1,
            _ => 0,
        };
    }
    assert!(thrown_out > 0);
}

/// Requests with much to answer.
fn greedy() -> String {
    let mut lines = String::from(CONNECT_IDS);
    for id in 0..64 {
        let request = match id % 8 {
            0..6 => json!({"inspect": {"container": "big:0.0.1"}}),
            6 => json!({"mount": {"containers": vec!["none:0.0.1"; 800]}}),
            _ => json!({"statistics": {"containers": vec!["big:0.0.1"; 800]}}),
        };
        lines += &json!({"id": id, "request": request}).to_string();
        lines.push('\n');
    }
    lines
}

/// One that numbers its requests, so that they do not wait for each other, and reads no answer.
fn ask_and_do_not_read(address: &str, number: usize, lines: &str) -> Option<TcpStream> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut stream = runtime.block_on(async {
        let socket = TcpSocket::new_v4().unwrap();
        // Little waits in the kernel, and no address has more connections than it may.
        socket.set_recv_buffer_size(4096).unwrap();
        let from = [127, 0, 1, u8::try_from(number % 100).unwrap()];
        socket.bind((from, 0).into()).unwrap();
        let address: SocketAddr = address.parse().unwrap();
        // The daemon may have no place for it.
        socket.connect(address).await.ok()?.into_std().ok()
    })?;
    let _ = stream.write(lines.as_bytes());
    Some(stream)
}

#[test]
fn a_thousand_clients_that_ask_and_do_not_read_cost_a_bounded_amount_of_memory() {
    let site = Site::new();
    let variables: String = (0..60)
        .map(|number| format!("  V{number}: '{}'\n", "x".repeat(900)))
        .collect();
    let big = site.shell("big", "exec sleep 1000", &format!("env:\n{variables}"), "");
    let served = Served::start(&site, "", "", None);
    let mut client = served.client();
    client.start(&big);
    let before = served.memory("VmRSS");
    let lines = greedy();
    let crowd: Vec<_> = (0..1000)
        .map(|number| ask_and_do_not_read(&served.tcp, number, &lines))
        .collect();
    for _ in 0..3 {
        assert_eq!(served.list().unwrap()["response"]["list"], json!([big]));
        let usage = client.ask(json!({"statistics": {"containers": []}}));
        assert_eq!(usage["statistics"][0]["container"], json!(big));
    }
    let (most, threads) = (served.memory("VmHWM"), served.memory("Threads"));
    assert!(most < before + MORE, "{before} KiB, then {most} KiB");
    assert!(threads < THREADS, "{threads} threads");
    drop(crowd);
    client.kill(&big, 9);
    let exit = client.exit();
    assert_eq!(exit["signalled"]["signal"], 9);
}

#[test]
fn a_daemon_without_descriptors_serves_those_it_has_and_recovers() {
    let site = Site::new();
    let app = site.shell("app", "exit 0", "", "");
    let served = Served::start(&site, "", "", Some(96));
    let mut client = served.client();
    // More than there are descriptors, most of them accepted by nobody.
    let crowd: Vec<_> = (0..400)
        .map(|number| misbehave(&served.tcp, number))
        .collect();
    for _ in 0..50 {
        assert_eq!(client.ask(json!("list")), json!({"list": [app]}));
    }
    drop(crowd);
    eventually("a new client is served", || {
        let answer = served.list().ok()?;
        (answer["response"]["list"] == json!([app])).then_some(())
    });
    // Descriptors are there again for everything else, too, as soon as the whole crowd is gone.
    eventually("a container starts", || {
        let answer = client.ask(json!({"start": {"container": app}}));
        (answer == json!({"start": {"ok": {"container": app}}})).then_some(())
    });
    assert_eq!(
        client.exit(),
        json!({"exit": {"code": 0, "reason": "own_exit"}})
    );
}
