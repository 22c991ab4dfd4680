//! A client that knows the extensions.

use crate::harness::PATIENCE;
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
};

/// One connection.
pub struct Client {
    stream: BufReader<UnixStream>,
    notifications: VecDeque<Value>,
    /// What was granted.
    pub granted: Value,
    id: u64,
}

impl Client {
    pub fn connect(socket: &Path, extensions: Value) -> Client {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Client {
            stream: BufReader::new(stream),
            notifications: VecDeque::new(),
            granted: Value::Null,
            id: 0,
        };
        client.send(&json!({"connect": {
            "version": "0.9.2", "subscribe_notifications": true, "extensions": extensions
        }}));
        client.granted = client.receive()["connect_ack"].take();
        client
    }

    pub fn send(&mut self, message: &Value) {
        self.raw(format!("{message}\n").as_bytes());
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    pub fn receive(&mut self) -> Value {
        let mut line = String::new();
        assert_ne!(self.stream.read_line(&mut line).unwrap(), 0, "closed");
        serde_json::from_str(&line).unwrap()
    }

    /// Sends a request and returns its id.
    pub fn begin(&mut self, request: Value) -> u64 {
        self.id += 1;
        self.send(&json!({"id": self.id, "request": request}));
        self.id
    }

    /// Waits for the response to a request.
    pub fn response(&mut self, id: u64) -> Value {
        loop {
            let mut message = self.receive();
            if message.get("notification").is_some() {
                self.notifications.push_back(message);
            } else if message["id"] == id && message.get("response").is_some() {
                return message["response"].take();
            }
        }
    }

    pub fn ask(&mut self, request: Value) -> Value {
        let id = self.begin(request);
        self.response(id)
    }

    pub fn start(&mut self, container: &str) {
        let answer = self.ask(json!({"start": {"container": container}}));
        assert_eq!(answer, json!({"start": {"ok": {"container": container}}}));
    }

    pub fn kill(&mut self, container: &str, signal: i32) {
        let answer = self.ask(json!({"kill": {"container": container, "signal": signal}}));
        assert_eq!(answer, json!({"kill": {"ok": {"container": container}}}));
    }

    /// The next notification, with its number.
    pub fn notification(&mut self) -> Value {
        loop {
            if let Some(notification) = self.notifications.pop_front() {
                return notification;
            }
            let message = self.receive();
            if message.get("notification").is_some() {
                return message;
            }
        }
    }

    /// How a container has ended.
    pub fn exit(&mut self) -> Value {
        loop {
            let message = self.notification();
            if let Some(exit) = message["notification"].get("exit") {
                return exit[1].clone();
            }
        }
    }
}
