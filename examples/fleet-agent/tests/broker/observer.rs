//! Somebody who watches the fleet and says what it shall do.

use std::{
    collections::BTreeSet,
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use northstar_tests::PATIENCE;
use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use serde_json::{Value, json};

use crate::{ID, LARGEST, mosquitto::Broker};

/// Somebody who watches the fleet. The broker keeps what it misses.
pub struct Observer {
    client: Client,
    messages: Receiver<(String, Value)>,
    pub seen: Vec<(String, Value)>,
}

impl Observer {
    pub fn new(broker: &Broker) -> Observer {
        let mut options = MqttOptions::new("observer", "127.0.0.1", broker.port);
        options.set_clean_session(false);
        options.set_max_packet_size(LARGEST, LARGEST);
        let (client, mut connection) = Client::new(options, 16);
        let (told, messages) = mpsc::channel();
        client
            .subscribe(format!("northstar/{ID}/#"), QoS::AtLeastOnce)
            .unwrap();
        thread::spawn(move || {
            for event in connection.iter() {
                match event {
                    Ok(Event::Incoming(Packet::Publish(message))) => {
                        let json = serde_json::from_slice(&message.payload).unwrap();
                        if told.send((message.topic, json)).is_err() {
                            return;
                        }
                    }
                    Ok(_) => {}
                    // The broker is away: tried again.
                    Err(_) => thread::sleep(Duration::from_millis(50)),
                }
            }
        });
        Observer {
            client,
            messages,
            seen: Vec::new(),
        }
    }

    pub fn desire(&self, revision: u64, containers: Value) {
        let desired = json!({"revision": revision, "containers": containers}).to_string();
        let topic = format!("northstar/{ID}/desired");
        self.client
            .publish(topic, QoS::AtLeastOnce, true, desired)
            .unwrap();
    }

    /// Waits until a message of a topic was seen for which `wanted` holds. Earlier ones count too.
    pub fn expect(&mut self, topic: &str, wanted: impl Fn(&Value) -> bool) {
        let topic = format!("northstar/{ID}/{topic}");
        let deadline = Instant::now() + PATIENCE;
        let fits = |(of, message): &(String, Value)| *of == topic && wanted(message);
        while !self.seen.iter().any(fits) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.messages.recv_timeout(left) {
                Ok(message) => self.seen.push(message),
                Err(_) => panic!("in vain: {topic}: {:#?}", self.seen),
            }
        }
    }

    pub fn expect_event(&mut self, event: &Value) {
        self.expect("events", |message| message.get("event") == Some(event));
    }

    pub fn forget(&mut self) {
        self.seen.clear();
    }

    /// The numbers of the events so far.
    pub fn sequences(&self) -> BTreeSet<u64> {
        let events = self
            .seen
            .iter()
            .filter(|(topic, _)| topic.ends_with("events"));
        events
            .filter_map(|(_, message)| message.get("sequence")?.as_u64())
            .collect()
    }
}
