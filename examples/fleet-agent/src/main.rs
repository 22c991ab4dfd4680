//! Brings a machine into the state that an MQTT broker asks for, and reports what happens on it. See README.md.

mod agent;
mod desired;
mod mqtt;
mod outbox;
mod packages;
mod plan;
mod position;
mod retry;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use northstar_client::{Backoff, Endpoint, Options, Reconnecting, Tls};
use url::Url;

/// Notifications that are kept while the broker is slow; the daemon keeps more.
const NOTIFICATIONS: usize = 256;

/// Brings this machine into the state that an MQTT broker asks for, and reports what happens
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Name of this machine in the topics of the broker
    #[arg(long)]
    id: String,
    /// The broker
    #[arg(long, value_name = "URL", default_value = "mqtt://localhost:1883")]
    broker: Url,
    /// Console of the daemon: tcp://HOST:PORT, tls://HOST:PORT or unix:///PATH
    #[arg(long, value_name = "URL", default_value = "tcp://localhost:4200")]
    daemon: Endpoint,
    /// Directory of the packages that can be installed
    #[arg(long, value_name = "DIRECTORY")]
    packages: PathBuf,
    /// File that remembers the last event the broker has
    #[arg(long, value_name = "FILE", default_value = "fleet-agent.position")]
    position: PathBuf,
    /// Authority of the daemon's certificate, for tls://
    #[arg(long, value_name = "FILE", requires_all = ["cert", "key"])]
    ca: Option<PathBuf>,
    /// Certificate of this agent, for tls://
    #[arg(long, value_name = "FILE", requires = "ca")]
    cert: Option<PathBuf>,
    /// Private key of this agent, for tls://
    #[arg(long, value_name = "FILE", requires = "ca")]
    key: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut options = Options::extended().with_notifications(NOTIFICATIONS);
    if let (Some(ca), Some(cert), Some(key)) = (arguments.ca, arguments.cert, arguments.key) {
        options.tls = Some(Tls {
            ca,
            cert,
            key,
            server_name: None,
        });
    }
    if let Some(position) = position::load(&arguments.position)? {
        options = options.resume(position);
    }
    let (broker, incoming) = mqtt::Broker::new(&arguments.broker, &arguments.id)?;
    let agent = agent::Agent {
        broker,
        incoming,
        daemon: Reconnecting::new(arguments.daemon, options, Backoff::default()),
        packages: arguments.packages,
        position: arguments.position,
        state: agent::Progress::new(Backoff::default()),
    };
    agent.run().await
}
