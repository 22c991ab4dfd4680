//! Brings a machine into the state that an MQTT broker asks for, and reports what happens on it. See README.md.

mod agent;
mod desired;
mod mqtt;
mod outbox;
mod packages;
mod plan;
mod position;
mod report;
mod retry;
mod stopping;
mod tls;

use std::{path::PathBuf, time::Duration};

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
    #[arg(long, value_parser = id)]
    id: String,
    /// The broker: mqtt://HOST:PORT, or mqtts://HOST:PORT with TLS
    #[arg(long, value_name = "URL", default_value = "mqtt://localhost:1883")]
    broker: Url,
    /// Authority of the broker's certificate, for mqtts://
    #[arg(long, value_name = "FILE")]
    broker_ca: Option<PathBuf>,
    /// Certificate of this machine for the broker, if it asks for one
    #[arg(long, value_name = "FILE", requires_all = ["broker_ca", "broker_key"])]
    broker_cert: Option<PathBuf>,
    /// Private key of this machine for the broker
    #[arg(long, value_name = "FILE", requires = "broker_cert")]
    broker_key: Option<PathBuf>,
    /// How long a container may take to end after SIGTERM, before SIGKILL, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    grace: u64,
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

/// A name that is part of a topic (MQTT 3.1.1, 4.7): nobody is subscribed to others with it.
fn id(text: &str) -> Result<String, &'static str> {
    let is_plain = |c: char| !c.is_control() && !matches!(c, '+' | '#');
    match !text.is_empty() && text.chars().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err("it must not be empty, nor have +, # or control characters"),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut options = Options::extended();
    if let (Some(ca), Some(cert), Some(key)) = (arguments.ca, arguments.cert, arguments.key) {
        options.tls = Some(Tls {
            ca,
            cert,
            key,
            server_name: None,
        });
    }
    let requests = options.clone();
    options = options.with_notifications(NOTIFICATIONS);
    if let Some(position) = position::load(&arguments.position)? {
        options = options.resume(position);
    }
    let identity = arguments.broker_cert.zip(arguments.broker_key);
    let tls = arguments.broker_ca.map(|authority| tls::Files {
        authority,
        identity,
    });
    let (broker, incoming) = mqtt::Broker::new(&arguments.broker, &arguments.id, tls.as_ref())?;
    let agent = agent::Agent {
        broker,
        incoming,
        events: Reconnecting::new(arguments.daemon.clone(), options, Backoff::default()),
        requests: Reconnecting::new(arguments.daemon, requests, Backoff::default()),
        packages: arguments.packages,
        position: arguments.position,
        state: agent::Progress::new(Backoff::default(), Duration::from_secs(arguments.grace)),
    };
    agent.run().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_part_of_topics() {
        let parse = |id: &str| {
            let words = ["fleet-agent", "--packages", "p", "--id", id];
            Arguments::try_parse_from(words).map(|arguments| arguments.id)
        };
        for id in ["ecu-7", "plant/ecu-7", "ünï"] {
            assert_eq!(parse(id).unwrap(), id);
        }
        for id in ["", "+", "#", "a+b", "a\0", "a\nb"] {
            assert!(parse(id).is_err(), "{id:?}");
        }
    }
}
