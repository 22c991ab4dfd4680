//! Prints the first events of a daemon, however often the connection is lost meanwhile:
//!
//! ```sh
//! cargo run -p northstar-client --example follow -- unix:///run/northstar/console.sock 10
//! ```

use std::{env, error::Error};

use northstar_client::{Backoff, Endpoint, Happening, Options, Reconnecting, api::Notification};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [url, count] = arguments.as_slice() else {
        return Err("usage: follow URL COUNT".into());
    };
    follow(&mut connect(url.parse()?), count.parse()?).await;
    Ok(())
}

/// Connects, and connects again whenever the connection is lost.
pub fn connect(endpoint: Endpoint) -> Reconnecting {
    let options = Options::extended().with_notifications(1000);
    Reconnecting::new(endpoint, options, Backoff::default())
}

/// Returns the first `count` events.
pub async fn follow(daemon: &mut Reconnecting, count: usize) -> Vec<Notification> {
    let mut events = Vec::new();
    while events.len() < count
        && let Some(happening) = daemon.next().await
    {
        match happening {
            Happening::Event(event) => {
                println!("{:?}: {:?}", event.sequence, event.notification);
                events.push(event.notification);
            }
            Happening::Gap(gap) => println!("{gap}: something may have changed unseen"),
            Happening::Unreachable { error, pause } => println!("{error}; again in {pause:?}"),
            other => println!("{other:?}"),
        }
    }
    events
}
