//! The connection to the broker. It comes back by itself.
//!
//! | topic | |
//! |---|---|
//! | `northstar/ID/desired` | in, retained: the state that is asked for |
//! | `northstar/ID/events` | out: what happens, at least once each |
//! | `northstar/ID/report` | out, retained: how far the machine is from what is asked for |
//! | `northstar/ID/online` | out, retained: `true`, or `false` from the broker when this program is gone |

use std::time::Duration;

use anyhow::{Context, Result, bail};
use northstar_client::Backoff;
use rumqttc::{
    AsyncClient, ClientError, ConnectReturnCode, Event, EventLoop, LastWill, MqttOptions, Packet,
    QoS, TlsConfiguration, Transport,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::sleep,
};
use url::Url;

use crate::tls::Files;

/// Requests that wait for the broker: those of the agent are fewer.
const QUEUE: usize = 64;
/// Largest message in bytes, in both directions.
const LARGEST: usize = 1024 * 1024;
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What comes from the broker.
#[derive(Debug)]
pub enum Incoming {
    /// A new connection: what the last one has not acknowledged may be lost.
    Connected,
    /// A state is asked for.
    Desired(Vec<u8>),
    /// The broker has this message.
    Acknowledged(u16),
    /// A message was given this number, in the order they were published.
    Numbered(u16),
    /// There is no connection. The next one is tried when `known` is dropped; until then nothing may be published any
    /// more.
    Disconnected {
        error: String,
        known: oneshot::Sender<()>,
    },
}

/// Publishes and subscribes for one machine.
#[derive(Debug)]
pub struct Broker {
    client: AsyncClient,
    prefix: String,
}

impl Broker {
    /// Connects to the broker at `url`, now and whenever the connection is lost.
    pub fn new(
        url: &Url,
        id: &str,
        tls: Option<&Files>,
    ) -> Result<(Broker, mpsc::Receiver<Incoming>)> {
        let host = url
            .host_str()
            .context("the URL of the broker has no host")?;
        let (transport, port) = transport(url, tls)?;
        let port = url.port().unwrap_or(port);
        let prefix = format!("northstar/{id}");
        let mut options = MqttOptions::new(format!("northstar-{id}"), host, port);
        options.set_transport(transport);
        options.set_keep_alive(KEEP_ALIVE);
        options.set_max_packet_size(LARGEST, LARGEST);
        options.set_last_will(LastWill::new(
            format!("{prefix}/online"),
            "false",
            QoS::AtLeastOnce,
            true,
        ));
        let (client, events) = AsyncClient::new(options, QUEUE);
        let (incoming, received) = mpsc::channel(QUEUE);
        tokio::spawn(receive(events, incoming, format!("{prefix}/desired")));
        Ok((Broker { client, prefix }, received))
    }

    /// Asks for what a new connection needs.
    pub fn greet(&self) -> Result<(), ClientError> {
        self.client
            .try_subscribe(format!("{}/desired", self.prefix), QoS::AtLeastOnce)?;
        self.retain("online", b"true".to_vec())
    }

    /// Publishes an event. It is acknowledged, unless the connection is lost.
    pub fn publish(&self, event: Vec<u8>) -> Result<(), ClientError> {
        let topic = format!("{}/events", self.prefix);
        self.client
            .try_publish(topic, QoS::AtLeastOnce, false, event)
    }

    /// Publishes what later subscribers get too.
    pub fn retain(&self, topic: &str, text: Vec<u8>) -> Result<(), ClientError> {
        let topic = format!("{}/{topic}", self.prefix);
        self.client.try_publish(topic, QoS::AtMostOnce, true, text)
    }
}

/// How to speak to the broker, and the port if the URL has none.
fn transport(url: &Url, tls: Option<&Files>) -> Result<(Transport, u16)> {
    match (url.scheme(), tls) {
        ("mqtt", None) => Ok((Transport::Tcp, 1883)),
        ("mqtts", Some(files)) => {
            let config = TlsConfiguration::from(files.config()?);
            Ok((Transport::tls_with_config(config), 8883))
        }
        ("mqtts", None) => bail!("a mqtts:// broker needs --broker-ca"),
        // Who names an authority must not be left without TLS.
        ("mqtt", Some(_)) => bail!("certificates of the broker are for mqtts://"),
        (scheme, _) => bail!("{scheme}:// is no broker: take mqtt:// or mqtts://"),
    }
}

async fn receive(mut events: EventLoop, incoming: mpsc::Sender<Incoming>, desired: String) {
    let backoff = Backoff::default();
    let mut failures = 0;
    loop {
        let event = events.poll().await;
        let message = match event {
            Ok(Event::Incoming(Packet::ConnAck(ack))) if ack.code == ConnectReturnCode::Success => {
                failures = 0;
                Incoming::Connected
            }
            Ok(Event::Incoming(Packet::Publish(publish))) if publish.topic == desired => {
                Incoming::Desired(publish.payload.to_vec())
            }
            Ok(Event::Incoming(Packet::PubAck(ack))) => Incoming::Acknowledged(ack.pkid),
            Ok(Event::Outgoing(rumqttc::Outgoing::Publish(number))) if number != 0 => {
                Incoming::Numbered(number)
            }
            Ok(_) => continue,
            Err(error) => {
                let error = error.to_string();
                let (known, is_known) = oneshot::channel();
                let told = incoming.send(Incoming::Disconnected { error, known });
                if told.await.is_err() {
                    return;
                }
                // It is never sent: being dropped is all it says.
                let _ = is_known.await;
                // What was on its way is published again by who wants it published, and by nobody else: its
                // acknowledgement could be taken for that of another message.
                events.clean();
                events.pending.clear();
                sleep(backoff.pause(failures)).await;
                failures = failures.saturating_add(1);
                continue;
            }
        };
        if incoming.send(message).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_and_the_certificates_belong_together() {
        let directory = tempfile::tempdir().unwrap();
        let authority = directory.path().join("ca");
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&authority, own.cert.pem()).unwrap();
        let files = Files {
            authority,
            identity: None,
        };
        let made = |url: &str, files: Option<&Files>| transport(&url.parse().unwrap(), files);
        assert!(matches!(made("mqtt://a", None), Ok((Transport::Tcp, 1883))));
        let tls = made("mqtts://a", Some(&files));
        assert!(matches!(tls, Ok((Transport::Tls(_), 8883))));
        for (url, files) in [
            ("mqtts://a", None),
            ("mqtt://a", Some(&files)),
            ("http://a", None),
        ] {
            assert!(made(url, files).is_err(), "{url}");
        }
    }
}
