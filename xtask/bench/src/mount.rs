//! Launches of a daemon that mounts many packages.

use anyhow::{Context, Result, ensure};

use crate::{Arguments, daemon::Daemon, statistics::Measure};

/// Measures launches.
///
/// # Errors
/// A package is refused or cannot be mounted.
pub async fn measure(arguments: &Arguments) -> Result<Vec<Measure>> {
    let mut ready = Vec::new();
    let mut mounted = Vec::new();
    let mut ended = Vec::new();
    let mut count = 0;
    for _launch in 0..arguments.launches {
        let mut daemon = Daemon::launch(arguments, &arguments.mount_repository)?;
        let launched = daemon.launched;
        let client = daemon.connect().await?;
        ready.push(launched.elapsed());

        let containers = client.list().await?;
        let packages = std::fs::read_dir(&arguments.mount_repository)?
            .filter_map(|entry| entry.ok())
            .filter(|entry| {
                entry
                    .path()
                    .extension()
                    .is_some_and(|suffix| suffix == "npk")
            })
            .count();
        ensure!(
            containers.len() == packages,
            "{} of {packages} packages",
            containers.len()
        );
        count = packages;
        for result in client.mount(containers).await? {
            result.into_result().context("mount")?;
        }
        mounted.push(launched.elapsed());

        let asked = std::time::Instant::now();
        daemon.shut_down(client).await?;
        ended.push(asked.elapsed());
    }
    Ok(vec![
        Measure::new(format!("launch -> console ready, {count} packages"), &ready),
        Measure::new(format!("launch -> {count} packages mounted"), &mounted),
        Measure::new(format!("shutdown -> end, {count} packages mounted"), &ended),
    ])
}
