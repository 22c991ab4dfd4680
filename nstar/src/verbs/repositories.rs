//! `repositories`

use northstar_api::{RepositoryDetails, RepositoryIntegrity, RepositoryKind, Request, Response};

use crate::{
    failure::Failure,
    output::table::{Style, Text, table},
    session::{Session, unexpected},
};

pub async fn run(session: &Session) -> Result<(), Failure> {
    if session.has_details() {
        return details(session).await;
    }
    let mut repositories = match session.ask(Request::Repositories).await? {
        Response::Repositories(repositories) => repositories,
        other => return Err(unexpected(other)),
    };
    repositories.sort();
    repositories
        .iter()
        .try_for_each(|repository| session.tell(repository))
}

async fn details(session: &Session) -> Result<(), Failure> {
    let mut repositories = match session.ask(Request::RepositoryDetails).await? {
        Response::RepositoryDetails(repositories) => repositories,
        other => return Err(unexpected(other)),
    };
    repositories.sort_by(|a, b| a.repository.cmp(&b.repository));
    let rows = repositories.into_iter().map(row).collect();
    let header = ["NAME", "TYPE", "KEY", "INTEGRITY"];
    session.show(&table(header, rows, Style::of_stdout()))
}

fn row(details: RepositoryDetails) -> [Text; 4] {
    let RepositoryDetails {
        repository,
        kind,
        keyed,
        integrity,
    } = details;
    let kind = match kind {
        RepositoryKind::Fs => "fs",
        RepositoryKind::Mem => "mem",
    };
    let integrity = match integrity {
        RepositoryIntegrity::None => "none",
        RepositoryIntegrity::DmVerity => "dm-verity",
        RepositoryIntegrity::FullRead => "full-read",
    };
    let key = if keyed { "yes" } else { "no" };
    [repository.into(), kind.into(), key.into(), integrity.into()]
}
