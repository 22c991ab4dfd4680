//! `ident`

use northstar_api::{Request, Response};

use crate::{
    failure::Failure,
    session::{Session, unexpected},
};

pub async fn run(session: &Session) -> Result<(), Failure> {
    match session.ask(Request::Ident).await? {
        Response::Ident(container) => session.tell(&container.to_string()),
        other => Err(unexpected(other)),
    }
}
