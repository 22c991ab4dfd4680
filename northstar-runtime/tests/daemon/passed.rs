//! Descriptors that clients pass along. Nobody wants them, and closing them may take any time.

use super::harness::Site;
use nix::{
    errno::Errno,
    sys::{
        signal::Signal,
        socket::{ControlMessage, MsgFlags, sendmsg, setsockopt, sockopt},
    },
};
use serde_json::json;
use std::{
    io::{IoSlice, Write},
    net::{TcpListener, TcpStream},
    os::{fd::AsRawFd, unix::net::UnixStream},
};

/// More than there are threads to be held up.
const CLIENTS: usize = 8;
/// Seconds; longer than any test waits.
const LINGER: i32 = 3600;
const CONNECT: &[u8] = b"{\"connect\":{\"version\":\"0.9.2\",\"subscribe_notifications\":false}}\n";

/// A TCP connection that nobody can close within an hour, because its peer takes no more data, and the peer.
fn lingering() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (peer, _) = listener.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    while stream.write(&[0; 65_536]).is_ok() {}
    linger(&stream, LINGER);
    (stream, peer)
}

fn linger(stream: &TcpStream, seconds: i32) {
    let linger = nix::libc::linger {
        l_onoff: 1,
        l_linger: seconds,
    };
    setsockopt(stream, sockopt::Linger, &linger).unwrap();
}

fn pass(client: &UnixStream, bytes: &[u8], descriptor: &TcpStream) -> Result<usize, Errno> {
    let rights = [descriptor.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&rights)];
    let bytes = [IoSlice::new(bytes)];
    sendmsg::<()>(client.as_raw_fd(), &bytes, &rights, MsgFlags::empty(), None)
}

fn hold_up_nobody() {
    let site = Site::new();
    let container = site.shell("app", "exit 7", "", "");
    let daemon = site.daemon();
    // So that it is the last to have what is sent.
    daemon.signal(Signal::SIGSTOP);
    let mut kept = Vec::new();
    let mut passed = Vec::new();
    for number in 0..CLIENTS {
        let mut client = UnixStream::connect(site.path("console")).unwrap();
        let (stream, peer) = lingering();
        // Of some, the daemon closes the connection before it has read everything.
        if number % 2 == 0 {
            client.write_all(b"nonsense\n").unwrap();
        }
        let outcome = pass(&client, CONNECT, &stream);
        if outcome.is_err() {
            // It would be for this test to wait.
            linger(&stream, 0);
        }
        passed.push(outcome);
        kept.push((client, peer));
    }
    daemon.signal(Signal::SIGCONT);
    let refused = Err(Errno::EPERM);
    let all = |outcome| passed.iter().all(|passed| *passed == outcome);
    assert!(all(refused) || all(Ok(CONNECT.len())), "{passed:?}");

    let mut console = daemon.console();
    let answer = console.request(json!("list"));
    assert_eq!(answer, json!({"list": [container]}));
    assert_eq!(console.start(&container), None);
    assert_eq!(console.exit_of(&container), json!({"exit": {"code": 7}}));
    drop(kept);
}

#[test]
fn clients_that_pass_descriptors_hold_up_nobody() {
    hold_up_nobody();
}

/// Linux before 6.16, which the guest has, cannot refuse descriptors.
#[test]
fn vm_clients_that_pass_descriptors_hold_up_nobody() {
    hold_up_nobody();
}
