//! `shutdown`

use northstar_api::{Request, Response};

use crate::{
    failure::Failure,
    session::{Session, unexpected},
};

pub async fn run(session: &Session) -> Result<(), Failure> {
    match session.ask(Request::Shutdown).await? {
        Response::Shutdown => session.tell("the daemon is shutting down"),
        other => Err(unexpected(other)),
    }
}
