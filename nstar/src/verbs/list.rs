//! `list`

use std::time::Duration;

use northstar_api::{Container, InspectData, Request, Response};
use northstar_client::RequestError;

use crate::{
    failure::Failure,
    output::table::{Color, Style, Text, table},
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
    let rows = states
        .iter()
        .map(|(container, data)| row(container, data))
        .collect();
    let header = ["NAME", "VERSION", "REPOSITORY", "STATE", "PID", "UPTIME"];
    session.show(&table(header, rows, Style::of_stdout()))
}

fn row(container: &Container, data: &InspectData) -> [Text; 6] {
    let (pid, uptime) = match &data.process {
        Some(process) => {
            // Whole seconds: the rest is noise.
            let uptime = Duration::from_secs(Duration::from_nanos(process.uptime).as_secs());
            let uptime = humantime::format_duration(uptime).to_string();
            (process.pid.to_string(), uptime)
        }
        None => Default::default(),
    };
    let state = match &data.process {
        Some(_) => Text::colored("running", Color::Green),
        None if data.mounted => Text::colored("mounted", Color::Cyan),
        None if data.manifest.is_resource() => "resource".into(),
        None => "installed".into(),
    };
    [
        container.name().to_string().into(),
        container.version().to_string().into(),
        data.repository.as_str().into(),
        state,
        pid.into(),
        uptime.into(),
    ]
}
