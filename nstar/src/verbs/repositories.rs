//! `repositories`

use northstar_api::{Request, Response};

use crate::{
    failure::Failure,
    session::{Session, unexpected},
};

pub async fn run(session: &Session) -> Result<(), Failure> {
    let mut repositories = match session.ask(Request::Repositories).await? {
        Response::Repositories(repositories) => repositories,
        other => return Err(unexpected(other)),
    };
    repositories.sort();
    repositories
        .iter()
        .try_for_each(|repository| session.tell(repository))
}
