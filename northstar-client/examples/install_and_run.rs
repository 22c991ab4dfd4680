//! Installs a package, starts its container and waits for its end:
//!
//! ```sh
//! cargo run -p northstar-client --example install_and_run -- tcp://localhost:4200 default app.npk
//! ```

use std::{env, error::Error, path::Path};

use futures::StreamExt;
use northstar_client::{
    Client, Endpoint, Options,
    api::{Exit, Notification},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [url, repository, package] = arguments.as_slice() else {
        return Err("usage: install_and_run URL REPOSITORY PACKAGE".into());
    };
    let exit = install_and_run(&url.parse()?, repository, Path::new(package)).await?;
    println!("ended with {exit}");
    Ok(())
}

/// Returns how the container ended.
pub async fn install_and_run(
    endpoint: &Endpoint,
    repository: &str,
    package: &Path,
) -> Result<Exit, Box<dyn Error>> {
    let options = Options::extended().with_notifications(100);
    let client = Client::connect(endpoint, options).await?;
    // Before the start: its notifications come on this connection from now on.
    let mut notifications = client.notifications();

    let progress = |bytes| println!("{bytes} bytes sent");
    let container = client.install_file(repository, package, progress).await?;
    client.start(container.clone()).await?;
    println!("{container} runs");
    while let Some(notification) = notifications.next().await {
        match notification? {
            Notification::Exit(ended, exit) if ended == container => return Ok(exit),
            _ => {}
        }
    }
    Err(client.closed().await.into())
}
