//! One daemon on a folder of its own, and a client of it.

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use northstar_client::{Client, Endpoint, Options};
use tokio::process::{Child, Command};

use crate::Arguments;

/// Longer than anything takes, also in an emulated machine.
const LIMIT: Duration = Duration::from_secs(120);

/// A running daemon; killed when dropped.
pub struct Daemon {
    child: Child,
    endpoint: Endpoint,
    /// When its program was about to be started.
    pub launched: Instant,
    _folder: tempfile::TempDir,
}

impl Daemon {
    /// Starts the daemon on a repository.
    ///
    /// # Errors
    /// Files cannot be written, or the program cannot be started.
    pub fn launch(arguments: &Arguments, repository: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("northstar-bench-")
            .tempdir()?;
        let path = folder.path().display();
        let url = format!("unix://{path}/console");
        let text = format!(
            r#"console = ["{url}"]
run_dir = "{path}/run"
data_dir = "{path}/data"
log_dir = "{path}/logs"
mount_parallel = 10
cgroup = "northstar-bench-{id}"

[repositories.bench]
key = "{key}"
integrity = "{integrity}"
type = {{ fs = {{ dir = "{repository}" }} }}
"#,
            id = std::process::id(),
            key = arguments.key.display(),
            integrity = arguments.integrity,
            repository = repository.display(),
        );
        let configuration = folder.path().join("bench.toml");
        std::fs::write(&configuration, text)?;
        let launched = Instant::now();
        let child = Command::new(&arguments.northstar)
            .arg("--config")
            .arg(&configuration)
            // Writing a log is not what is measured.
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {}", arguments.northstar.display()))?;
        let endpoint = url.parse().context("the daemon's address")?;
        Ok(Self {
            child,
            endpoint,
            launched,
            _folder: folder,
        })
    }

    /// Connects as soon as the console answers, with a subscription to notifications.
    ///
    /// # Errors
    /// The daemon ends, or its console does not answer.
    pub async fn connect(&mut self) -> Result<Client> {
        loop {
            let options = Options {
                notifications: Some(1000),
                ..Options::default()
            };
            match Client::connect(&self.endpoint, options).await {
                Ok(client) => return Ok(client),
                Err(error) => {
                    if let Some(status) = self.child.try_wait()? {
                        return Err(error).with_context(|| format!("the daemon ended: {status}"));
                    }
                    ensure!(self.launched.elapsed() < LIMIT, "no answer: {error}");
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
    }

    /// Shuts the daemon down and waits for its end.
    ///
    /// # Errors
    /// It does not end, or not with success.
    pub async fn shut_down(mut self, client: Client) -> Result<()> {
        client.shutdown().await?;
        let status = tokio::time::timeout(LIMIT, self.child.wait())
            .await
            .context("the daemon does not end")??;
        ensure!(status.success(), "the daemon ended: {status}");
        Ok(())
    }
}
