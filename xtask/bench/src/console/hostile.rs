//! What a well-behaved client on the Unix socket sees while others misbehave over TCP, with the limits as they are by
//! default.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    time::{sleep, timeout},
};

use super::{
    Arguments,
    site::{Setup, Site},
    wire,
};
use crate::statistics::Measure;

/// Between two requests of the well-behaved client.
const PACE: Duration = Duration::from_millis(5);
/// Between two connections of a hostile one.
const RETURN: Duration = Duration::from_millis(500);
/// Descriptors of a daemon that has far too few: enough for itself and its packages, which have one each.
const FEW_DESCRIPTORS: usize = 192;
/// Installs at one byte per second.
const SLOW_INSTALLS: usize = 64;

pub fn measure(arguments: &Arguments) -> Result<Vec<Measure>> {
    let mut measures = Vec::new();
    let clients = arguments.hostile;
    measures.push(endure(arguments, "alone", None, 0)?);
    let name = format!("{clients} malformed and silent clients");
    measures.push(endure(arguments, &name, None, clients)?);
    let name = format!("{SLOW_INSTALLS} installs at 1 byte/s");
    measures.push(with(arguments, &name, None, |site, stop, count| {
        slow_installs(&site.tcp, stop, count)
    })?);
    let name = format!("{clients} clients for {FEW_DESCRIPTORS} descriptors");
    measures.push(endure(arguments, &name, Some(FEW_DESCRIPTORS), clients)?);
    Ok(measures)
}

fn endure(
    arguments: &Arguments,
    name: &str,
    descriptors: Option<usize>,
    clients: usize,
) -> Result<Measure> {
    with(arguments, name, descriptors, |site, stop, count| {
        crowd(&site.tcp, clients, stop, count)
    })
}

/// Measures `list` while `hostility` goes on in a thread of its own.
fn with(
    arguments: &Arguments,
    name: &str,
    descriptors: Option<usize>,
    hostility: impl FnOnce(&Site, &AtomicBool, &AtomicU64) -> Result<()> + Send,
) -> Result<Measure> {
    let setup = Setup {
        packages: 100,
        descriptors,
        ..Setup::default()
    };
    let site = Site::start(&arguments.northstar, &arguments.scratch, setup)?;
    let before = site.memory()?;
    let (stop, connections) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut client = wire::unix(&site.socket(), wire::CONNECT)?;
    let (values, most) = std::thread::scope(|scope| {
        let hostile = scope.spawn(|| hostility(&site, &stop, &connections));
        let listed = listen(arguments, &site, &mut client);
        stop.store(true, Ordering::Relaxed);
        match hostile.join() {
            Ok(ended) => ended?,
            Err(panic) => std::panic::resume_unwind(panic),
        }
        listed
    })?;
    let measure = Measure::new(format!("list, {name}"), &values);
    eprintln!(
        "{name}: p50 {:.2} ms, p99 {:.2} ms, {} connections, daemon {before} KiB before, {most} KiB at most",
        measure.summary.median,
        measure.summary.p99,
        connections.load(Ordering::Relaxed),
    );
    site.stop()?;
    Ok(measure)
}

/// Asks at a steady pace. Returns how long each answer took and the most memory that the daemon had.
fn listen(
    arguments: &Arguments,
    site: &Site,
    client: &mut wire::Wire<std::os::unix::net::UnixStream>,
) -> Result<(Vec<Duration>, u64)> {
    let end = Instant::now() + Duration::from_secs(arguments.seconds);
    let (mut values, mut most) = (Vec::new(), 0);
    while Instant::now() < end {
        let asked = Instant::now();
        client.ask(wire::LIST)?;
        values.push(asked.elapsed());
        if values.len() % 20 == 0 {
            most = most.max(site.memory()?);
        }
        std::thread::sleep(PACE);
    }
    Ok((values, most))
}

/// Many clients that connect anew whenever they are thrown out.
fn crowd(address: &str, clients: usize, stop: &AtomicBool, count: &AtomicU64) -> Result<()> {
    // One thread: they are not to take all processors.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let address: std::net::SocketAddr = address.parse()?;
    runtime.block_on(async {
        let everybody = (0..clients).map(|number| async move {
            // Not all at once, and not all from one address.
            sleep(Duration::from_millis((number % 500) as u64)).await;
            while !stop.load(Ordering::Relaxed) {
                // Being refused is what is to be expected.
                let _ = timeout(Duration::from_secs(2), misbehave(address, number, count)).await;
                sleep(RETURN).await;
            }
        });
        futures::future::join_all(everybody).await;
    });
    Ok(())
}

async fn misbehave(address: std::net::SocketAddr, number: usize, count: &AtomicU64) -> Result<()> {
    let socket = TcpSocket::new_v4()?;
    let from = [127, 0, 1, u8::try_from(number % 200)?];
    socket.bind((from, 0).into())?;
    let mut stream = socket.connect(address).await?;
    count.fetch_add(1, Ordering::Relaxed);
    let mut answer = [0; 4096];
    match number % 7 {
        // Says nothing.
        0 => {}
        // Says something else.
        1 => {
            stream
                .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                .await?
        }
        // Never ends its first line.
        2 => stream.write_all(&[b'{'; 4000]).await?,
        // Connects, and sends what is no request.
        3 => {
            stream.write_all(wire::CONNECT).await?;
            stream
                .write_all(b"{\"request\":{\"nothing\":[[[[\n")
                .await?;
        }
        // Connects, and never ends a long line.
        4 => {
            stream.write_all(wire::CONNECT).await?;
            stream.write_all(&[b'x'; 500_000]).await?;
        }
        // Asks for much without waiting, and reads nothing.
        5 => {
            stream.write_all(wire::CONNECT_IDS).await?;
            let requests: String = (0..100).map(identified_list).collect();
            stream.write_all(requests.as_bytes()).await?;
            sleep(Duration::from_secs(60)).await;
        }
        // Asks a lot and reads nothing.
        _ => {
            stream.write_all(wire::CONNECT).await?;
            let requests = wire::LIST.repeat(100);
            stream.write_all(&requests).await?;
            sleep(Duration::from_secs(60)).await;
        }
    }
    while stream.read(&mut answer).await? > 0 {}
    Ok(())
}

fn identified_list(id: u32) -> String {
    format!("{{\"id\":{id},\"request\":\"list\"}}\n")
}

/// Installs that send one byte per second, begun anew when they are cut off.
fn slow_installs(address: &str, stop: &AtomicBool, count: &AtomicU64) -> Result<()> {
    let request = b"{\"request\":{\"install\":{\"repository\":\"bench\",\"size\":100000000}}}\n";
    let begin = || -> Result<TcpStream> {
        let mut wire = wire::tcp(address, wire::CONNECT)?;
        wire.send(request)?;
        count.fetch_add(1, Ordering::Relaxed);
        Ok(wire.writer)
    };
    let mut streams = (0..SLOW_INSTALLS)
        .map(|_| begin())
        .collect::<Result<Vec<_>>>()
        .context("an install")?;
    while !stop.load(Ordering::Relaxed) {
        for stream in &mut streams {
            stream.set_nonblocking(true)?;
            let answered = !matches!(stream.read(&mut [0; 4096]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
            stream.set_nonblocking(false)?;
            if answered || stream.write_all(b"x").is_err() {
                *stream = begin().context("another install")?;
            }
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}
