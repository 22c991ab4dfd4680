//! `list`

use std::time::Duration;

use northstar_api::{Container, InspectData, Request, Response};
use northstar_client::RequestError;

use crate::{
    failure::Failure,
    output,
    resolve::inspect_all,
    session::{Session, unexpected},
};

pub async fn run(session: &Session) -> Result<(), Failure> {
    let mut containers = match session.ask(Request::List).await? {
        Response::List(containers) => containers,
        other => return Err(unexpected(other)),
    };
    if session.is_json() {
        return Ok(());
    }
    containers.sort();
    let states = match inspect_all(session, containers.clone()).await {
        // Who may list but not inspect gets the list.
        Err(Failure::Request(RequestError::PermissionDenied(_))) => {
            return containers
                .iter()
                .try_for_each(|c| session.tell(&c.to_string()));
        }
        states => states?,
    };
    let header = ["NAME", "VERSION", "REPOSITORY", "STATE", "PID", "UPTIME"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(header)
        .chain(states.iter().map(|(container, data)| row(container, data)))
        .collect();
    session.tell(&output::table(&rows))
}

fn row(container: &Container, data: &InspectData) -> [String; 6] {
    let (state, pid, uptime) = match &data.process {
        Some(process) => {
            // Whole seconds: the rest is noise.
            let uptime = Duration::from_secs(Duration::from_nanos(process.uptime).as_secs());
            (
                "running",
                process.pid.to_string(),
                humantime::format_duration(uptime).to_string(),
            )
        }
        None if data.mounted => ("mounted", String::new(), String::new()),
        None if data.manifest.is_resource() => ("resource", String::new(), String::new()),
        None => ("installed", String::new(), String::new()),
    };
    [
        container.name().to_string(),
        container.version().to_string(),
        data.repository.clone(),
        state.to_owned(),
        pid,
        uptime,
    ]
}
