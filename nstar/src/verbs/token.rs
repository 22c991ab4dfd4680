//! `token`

use std::io::{self, Read};

use clap::Args;
use northstar_api::{Name, Request, Response};

use crate::{
    failure::Failure,
    session::{Session, unexpected},
};

/// Create a token that proves to TARGET who this client is.
#[derive(Debug, Args)]
#[command(after_help = "\
The token is printed in base64. TARGET verifies it with `nstar verify-token`, or with the request
`token_verify` on its own console, and has to know the shared value too.

Examples:
  nstar token hello-world secret
  printf %s \"$SECRET\" | nstar token hello-world -")]
pub struct Token {
    /// Name of the container that may verify the token.
    target: Name,
    /// Any text that TARGET knows too; `-` reads it from the standard input, where other users of this
    /// machine do not see it.
    shared: String,
}

impl Token {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let request = Request::TokenCreate {
            target: self.target,
            shared: shared(self.shared).await?,
        };
        match session.ask(request).await? {
            Response::Token(token) => session.tell(&text(&token)?),
            other => Err(unexpected(other)),
        }
    }
}

/// The token as it is written on the wire.
fn text(token: &northstar_api::Token) -> Result<String, Failure> {
    match serde_json::to_value(token) {
        Ok(serde_json::Value::String(text)) => Ok(text),
        Ok(other) => Ok(other.to_string()),
        Err(error) => Err(Failure::Output {
            source: error.into(),
        }),
    }
}

/// A shared value, read from the standard input if it is `-`; a line end behind it does not belong to it.
pub async fn shared(text: String) -> Result<Vec<u8>, Failure> {
    if text != "-" {
        return Ok(text.into_bytes());
    }
    let read = tokio::task::spawn_blocking(|| {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    });
    let error = |source| Failure::Read {
        path: "/dev/stdin".into(),
        source,
    };
    let mut bytes = read.await.map_err(|e| error(e.into()))?.map_err(error)?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    Ok(bytes)
}
