//! Talks to the daemon that runs it: asks who it is and what is installed, and prints what happens until it is stopped.

use anyhow::Result;
use futures::StreamExt;
use northstar_client::{Client, Options, RequestError};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // The daemon has connected the console before it started this program.
    let client = Client::from_env(Options::default().with_notifications(100)).await?;
    let mut notifications = client.notifications();

    println!("I am {}", client.ident().await?);
    for container in client.list().await? {
        println!("installed: {container}");
    }
    // The manifest does not permit this.
    match client.repositories().await {
        Err(RequestError::PermissionDenied(request)) => println!("not permitted: {request:?}"),
        other => println!("repositories: {:?}", other?),
    }

    while let Some(notification) = notifications.next().await {
        match notification {
            Ok(notification) => println!("happened: {notification:?}"),
            Err(missed) => println!("{missed}"),
        }
    }
    Ok(())
}
