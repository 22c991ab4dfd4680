//! Serves a socket that the runtime has bound. A client says who it is and shows a token; the daemon knows whether that is
//! true.
//!
//! A client sends its name, a line end, and the bytes of a token. The answer is a line.

use std::{os::unix::net::UnixListener as StdUnixListener, time::Duration};

use anyhow::{Context, Result};
use northstar_client::{
    Client, Options,
    api::{Name, Token, VerificationResult},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    time::timeout,
};

/// What a token is for: one that was made for another purpose is worth nothing here.
const PURPOSE: &[u8] = b"greeting";
/// Longest line of a client in bytes: a name and its end.
const LONGEST_LINE: u64 = 65;
/// How long a client may take.
const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let client = Client::from_env(Options::default()).await?;
    // It listens already.
    let socket = StdUnixListener::from(northstar_client::socket("greeting")?);
    socket.set_nonblocking(true)?;
    let socket = UnixListener::from_std(socket)?;
    println!("serving");
    loop {
        let (stream, _) = socket.accept().await?;
        let client = client.clone();
        tokio::spawn(async move {
            match timeout(PATIENCE, serve(stream, &client)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => println!("a client failed: {error:#}"),
                Err(_) => println!("a client was too slow"),
            }
        });
    }
}

async fn serve(stream: UnixStream, client: &Client) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let mut name = String::new();
    (&mut stream)
        .take(LONGEST_LINE)
        .read_line(&mut name)
        .await?;
    let name: Name = name.trim_end().parse().context("no name of a container")?;
    let mut token = [0; Token::LENGTH];
    stream.read_exact(&mut token).await?;

    let verified = client
        .verify_token(token.into(), name.clone(), PURPOSE.to_vec())
        .await?;
    println!("{name}: {verified:?}");
    let answer = match verified {
        VerificationResult::Ok => format!("welcome, {name}\n"),
        refused => format!("refused: {refused:?}\n"),
    };
    stream.write_all(answer.as_bytes()).await?;
    Ok(())
}
