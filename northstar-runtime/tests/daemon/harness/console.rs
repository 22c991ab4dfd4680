//! A console, line by line.

use super::PATIENCE;
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
};

/// A client.
#[derive(Debug)]
pub struct Console {
    stream: BufReader<UnixStream>,
    notifications: VecDeque<Value>,
}

impl Console {
    pub fn connect(socket: &Path) -> Console {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut console = Console {
            stream: BufReader::new(stream),
            notifications: VecDeque::new(),
        };
        console.send(&json!({"connect": {"version": "0.9.2", "subscribe_notifications": true}}));
        assert_eq!(console.receive(), Some(json!({"connect_ack": null})));
        console
    }

    fn send(&mut self, message: &Value) {
        self.stream
            .get_mut()
            .write_all(format!("{message}\n").as_bytes())
            .unwrap();
    }

    /// `None` at the end of the connection.
    fn receive(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(serde_json::from_str(&line).unwrap()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Asks and returns the answer.
    pub fn request(&mut self, request: Value) -> Value {
        self.send(&json!({ "request": request }));
        self.answer()
    }

    fn answer(&mut self) -> Value {
        loop {
            let mut message = self.receive().expect("the connection ended");
            match message.get_mut("response") {
                Some(response) => return response.take(),
                None => self.notifications.push_back(message["notification"].take()),
            }
        }
    }

    /// Asks for one container: `None` for ok, or the error.
    pub fn ask(&mut self, verb: &str, mut request: Value) -> Option<Value> {
        let answer = self.request(json!({ verb: request.take() }));
        let answer = &answer[verb];
        match answer.get("ok") {
            Some(_) => None,
            None => Some(answer["error"]["error"].clone()),
        }
    }

    pub fn start(&mut self, container: &str) -> Option<Value> {
        self.ask("start", json!({ "container": container }))
    }

    pub fn kill(&mut self, container: &str, signal: i32) -> Option<Value> {
        self.ask("kill", json!({ "container": container, "signal": signal }))
    }

    pub fn umount(&mut self, container: &str) -> Value {
        self.request(json!({"umount": {"containers": [container]}}))["umount"][0].clone()
    }

    pub fn inspect(&mut self, container: &str) -> Value {
        let answer = self.request(json!({"inspect": {"container": container}}));
        answer["inspect"]["ok"]["data"].clone()
    }

    /// The next notification. `None` at the end of the connection.
    pub fn notification(&mut self) -> Option<Value> {
        match self.notifications.pop_front() {
            Some(notification) => Some(notification),
            None => self
                .receive()
                .map(|mut message| message["notification"].take()),
        }
    }

    /// Waits for the end of a container and returns how it ended.
    pub fn exit_of(&mut self, container: &str) -> Value {
        loop {
            let notification = self.notification().expect("the connection ended");
            if notification["exit"][0] == container {
                return notification["exit"][1].clone();
            }
        }
    }
}
