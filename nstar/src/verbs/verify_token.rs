//! `verify-token`

use clap::Args;
use northstar_api::{Name, Request, Response, Token, VerificationResult};

use crate::{
    failure::Failure,
    session::{Session, unexpected},
    verbs::token::shared,
};

/// Verify a token that USER has created for this client.
#[derive(Debug, Args)]
#[command(after_help = "\
Prints `ok` if the token is good. If it is not, nstar says why and ends with 1.

Example:
  nstar verify-token \"$TOKEN\" hello-world secret")]
pub struct VerifyToken {
    /// The token in base64.
    #[arg(value_parser = token)]
    token: Token,
    /// Name of the container that is said to have created it; `extern` for a client outside.
    user: Name,
    /// The shared value that the token was created with; `-` reads it from the standard input.
    shared: String,
}

fn token(text: &str) -> Result<Token, String> {
    serde_json::from_value(text.into()).map_err(|error| error.to_string())
}

impl VerifyToken {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let request = Request::TokenVerify {
            token: self.token,
            user: self.user,
            shared: shared(self.shared).await?,
        };
        let verdict = match session.ask(request).await? {
            Response::TokenVerification(VerificationResult::Ok) => return session.tell("ok"),
            Response::TokenVerification(VerificationResult::Invalid) => "invalid",
            Response::TokenVerification(VerificationResult::Expired) => "too old",
            Response::TokenVerification(VerificationResult::Future) => "from the future",
            other => return Err(unexpected(other)),
        };
        Err(Failure::BadToken { verdict })
    }
}
