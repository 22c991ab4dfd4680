//! Starts of one mounted container.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt;
use northstar_client::{Client, Notifications, api::Notification};
use northstar_manifest::Container;

use crate::{Arguments, daemon::Daemon, statistics::Measure};

/// Starts that are not counted: they fill caches.
const WARM_UP: usize = 5;

/// Measures starts, and the same program without a container in between, so that both see the same machine.
///
/// # Errors
/// A start fails.
pub async fn measure(arguments: &Arguments) -> Result<Vec<Measure>> {
    let container: Container = "noop:0.0.1".parse()?;
    let mut daemon = Daemon::launch(arguments, &arguments.start_repository)?;
    let client = daemon.connect().await?;
    let mut notifications = client.notifications();
    for result in client.mount([container.clone()]).await? {
        result.into_result().context("mount")?;
    }

    let mut executed = Vec::new();
    let mut exited = Vec::new();
    let mut plain_executed = Vec::new();
    let mut plain_exited = Vec::new();
    for run in 0..arguments.starts.saturating_add(WARM_UP) {
        let (plain_execute, plain_exit) = plain(arguments)?;
        let (execute, exit) = start(&client, &mut notifications, &container).await?;
        if run >= WARM_UP {
            plain_executed.push(plain_execute);
            plain_exited.push(plain_exit);
            executed.push(execute);
            exited.push(exit);
        }
    }
    daemon.shut_down(client).await?;
    Ok(vec![
        Measure::new("start -> executed", &executed),
        Measure::new("start -> exit", &exited),
        Measure::new("without container: spawn -> executed", &plain_executed),
        Measure::new("without container: spawn -> exit", &plain_exited),
    ])
}

/// From the request to the answer and to the notification of the end.
async fn start(
    client: &Client,
    notifications: &mut Notifications,
    container: &Container,
) -> Result<(Duration, Duration)> {
    let begin = Instant::now();
    client.start(container.clone()).await?;
    let executed = begin.elapsed();
    loop {
        match notifications
            .next()
            .await
            .context("the connection ended")??
        {
            Notification::Exit(ended, status) if ended == *container => {
                ensure!(status.is_success(), "noop ended with {status:?}");
                return Ok((executed, begin.elapsed()));
            }
            Notification::Started(_) => {}
            other => bail!("unexpected notification {other:?}"),
        }
    }
}

/// The same with fork and execve alone. The standard library returns from `spawn` when execve has happened.
fn plain(arguments: &Arguments) -> Result<(Duration, Duration)> {
    let begin = Instant::now();
    let mut child = Command::new(&arguments.noop).spawn()?;
    let executed = begin.elapsed();
    let status = child.wait()?;
    ensure!(status.success(), "noop ended: {status}");
    Ok((executed, begin.elapsed()))
}
