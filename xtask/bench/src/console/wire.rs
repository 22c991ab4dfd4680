//! A client that costs next to nothing: prepared bytes out, lines in.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

/// Nothing takes as long as this unless it is broken.
const LIMIT: Duration = Duration::from_secs(60);

/// The first line of a client of protocol 0.9.2.
pub const CONNECT: &[u8] =
    b"{\"connect\":{\"version\":\"0.9.2\",\"subscribe_notifications\":false}}\n";
/// The first line of a client that numbers its requests.
pub const CONNECT_IDS: &[u8] = b"{\"connect\":{\"version\":\"0.9.2\",\"subscribe_notifications\":false,\"extensions\":{\"ids\":true}}}\n";
pub const LIST: &[u8] = b"{\"request\":\"list\"}\n";

/// One connection after its handshake.
#[derive(Debug)]
pub struct Wire<S> {
    pub reader: BufReader<S>,
    pub writer: S,
}

/// Connects to a Unix socket.
pub fn unix(path: &Path, connect: &[u8]) -> Result<Wire<UnixStream>> {
    let stream = UnixStream::connect(path)
        .with_context(|| format!("cannot connect to {}", path.display()))?;
    stream.set_read_timeout(Some(LIMIT))?;
    Wire::new(stream.try_clone()?, stream, connect)
}

/// Connects over TCP.
pub fn tcp(address: &str, connect: &[u8]) -> Result<Wire<TcpStream>> {
    let stream =
        TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LIMIT))?;
    Wire::new(stream.try_clone()?, stream, connect)
}

impl<S: Read + Write> Wire<S> {
    fn new(reader: S, writer: S, connect: &[u8]) -> Result<Self> {
        let mut wire = Self {
            reader: BufReader::with_capacity(1 << 18, reader),
            writer,
        };
        let answer = wire.ask(connect)?;
        ensure!(answer.contains("connect_ack"), "{answer}");
        Ok(wire)
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.writer.write_all(bytes)?)
    }

    /// Sends a request and waits for the next line.
    pub fn ask(&mut self, request: &[u8]) -> Result<String> {
        self.send(request)?;
        self.line()
    }

    /// The next line.
    pub fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            bail!("the daemon has closed the connection");
        }
        Ok(line)
    }
}

/// Reads lines without looking at them.
pub fn skip(reader: &mut impl BufRead, mut lines: usize) -> Result<()> {
    while lines > 0 {
        let bytes = reader.fill_buf()?;
        ensure!(!bytes.is_empty(), "the daemon has closed the connection");
        let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let last = ends.map(|(at, _)| at + 1).take(lines);
        let (found, taken) = last.fold((0, 0), |(found, _), at| (found + 1, at));
        let taken = if found < lines { bytes.len() } else { taken };
        lines -= found;
        reader.consume(taken);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_across_reads() {
        let mut reader = BufReader::with_capacity(4, &b"one\ntwo\n\nfour\nrest"[..]);
        skip(&mut reader, 4).unwrap();
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "rest");
    }
}
