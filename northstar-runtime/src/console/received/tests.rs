use super::*;
use rustix::net::{
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg, sockopt::set_socket_linger,
};
use std::{
    io::{IoSlice, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream as StdUnixStream,
    time::Duration,
};
use tokio::io::AsyncReadExt;

/// Longer than anybody waits for a test.
const LINGER: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(30);

/// A TCP connection that cannot be closed for an hour, because its peer takes no more data, and the peer.
fn lingering() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (peer, _) = listener.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    while stream.write(&[0; 65_536]).is_ok() {}
    stream.set_nonblocking(false).unwrap();
    set_socket_linger(&stream, Some(LINGER)).unwrap();
    (stream, peer)
}

/// Sends bytes with a descriptor and keeps none. Nobody else may close it before.
fn pass(socket: &StdUnixStream, bytes: &[u8], descriptor: TcpStream) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let rights = [descriptor.as_fd()];
    assert!(control.push(SendAncillaryMessage::ScmRights(&rights)));
    let flags = SendFlags::empty();
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags).unwrap();
}

/// Runs something that hangs for an hour if it is wrong.
fn in_time<T: Send + 'static>(
    work: impl FnOnce(tokio::runtime::Handle) -> T + Send + 'static,
) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (done, finished) = mpsc::channel();
    let handle = runtime.handle().clone();
    thread::spawn(move || done.send(work(handle)));
    let result = finished.recv_timeout(PATIENCE);
    runtime.shutdown_background();
    result.expect("nothing is held up")
}

fn received(stream: StdUnixStream) -> Received {
    stream.set_nonblocking(true).unwrap();
    split(UnixStream::from_std(stream).unwrap()).0
}

#[test]
fn descriptors_that_cannot_be_closed_end_the_connection_and_hold_up_nobody() {
    let (client, server) = StdUnixStream::pair().unwrap();
    let (stream, _peer) = lingering();
    pass(&client, b"line\n", stream);
    let kind = in_time(move |runtime| {
        let _entered = runtime.enter();
        let mut received = received(server);
        let read = runtime.block_on(async { received.read(&mut [0; 16]).await });
        read.map_err(|error| error.kind())
    });
    assert_eq!(kind, Err(io::ErrorKind::InvalidData));
}

#[test]
fn descriptors_that_were_never_read_hold_up_nobody_either() {
    let (mut client, server) = StdUnixStream::pair().unwrap();
    client.write_all(b"line\n").unwrap();
    let kept = [lingering(), lingering()].map(|(stream, peer)| {
        pass(&client, b"more\n", stream);
        peer
    });
    let read = in_time(move |runtime| {
        let _entered = runtime.enter();
        let mut received = received(server);
        let mut line = [0; 5];
        runtime
            .block_on(async { received.read_exact(&mut line).await })
            .unwrap();
        line
    });
    assert_eq!(&read, b"line\n");
    drop(kept);
}

#[test]
fn bytes_arrive_and_end_as_from_any_other_connection() {
    let (mut client, server) = StdUnixStream::pair().unwrap();
    let content: Vec<u8> = (0..100_000_u32).map(|number| number as u8).collect();
    let sent = content.clone();
    let writer = thread::spawn(move || client.write_all(&sent).unwrap());
    let read = in_time(move |runtime| {
        let _entered = runtime.enter();
        let mut received = received(server);
        let mut read = Vec::new();
        runtime
            .block_on(async { received.read_to_end(&mut read).await })
            .unwrap();
        read
    });
    writer.join().unwrap();
    assert!(read == content);
}

/// Where the kernel can, a client is told, and nothing arrives.
#[test]
fn kernel_refuses_descriptors_if_it_can() {
    let (client, server) = StdUnixStream::pair().unwrap();
    let can = fd::refuse(server.as_fd()).unwrap();
    let null = std::fs::File::open("/dev/null").unwrap();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let rights = [null.as_fd()];
    assert!(control.push(SendAncillaryMessage::ScmRights(&rights)));
    let sent = sendmsg(
        &client,
        &[IoSlice::new(b"x")],
        &mut control,
        SendFlags::empty(),
    );
    let expected = if can {
        Err(rustix::io::Errno::PERM)
    } else {
        Ok(1)
    };
    assert_eq!(sent, expected);
}
