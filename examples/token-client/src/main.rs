//! Gets a token from the daemon and shows it to `token-server`, which then knows who it talks to.
//!
//! With the argument `forge` it changes a bit of the token first, with `lie` it says that it is somebody else, and with
//! `elsewhere` it shows a token for another server.

use std::{env, path::PathBuf};

use anyhow::{Context, Result};
use northstar_client::{Client, Options, api::Name};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

/// Where the manifest mounts the sockets of running containers, which are named `NAME:VERSION:SOCKET`.
const SOCKET: &str = "/sockets/token-server:0.0.1:greeting";
/// What the token is for.
const PURPOSE: &[u8] = b"greeting";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let trick = env::args().nth(1);
    let trick = trick.as_deref();

    let client = Client::from_env(Options::default()).await?;
    let me = client.ident().await?;
    let server: Name = match trick {
        Some("elsewhere") => "somebody".parse()?,
        _ => "token-server".parse()?,
    };
    let token = client.create_token(server, PURPOSE.to_vec()).await?;
    let mut token = token.as_bytes().to_vec();
    if let (Some("forge"), Some(byte)) = (trick, token.last_mut()) {
        *byte ^= 1;
    }
    let name = match trick {
        Some("lie") => "somebody",
        _ => me.name().as_str(),
    };

    let socket = PathBuf::from(SOCKET);
    let stream = UnixStream::connect(&socket).await;
    let mut stream = stream.with_context(|| format!("cannot connect to {}", socket.display()))?;
    stream.write_all(format!("{name}\n").as_bytes()).await?;
    stream.write_all(&token).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    println!("token-server says: {}", answer.trim_end());
    Ok(())
}
