//! A console connection that sends and receives plain lines.

use std::{
    collections::VecDeque,
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use serde_json::{Value, json};

use crate::PATIENCE;

/// A connection that has completed the handshake of protocol 0.9.2 and receives notifications.
#[derive(Debug)]
pub struct Console {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
    notifications: VecDeque<Value>,
}

impl Console {
    /// Connects and subscribes to notifications.
    ///
    /// # Panics
    /// If the daemon does not acknowledge.
    #[must_use]
    pub fn connect(socket: &Path) -> Self {
        let writer = UnixStream::connect(socket).expect("the console accepts connections");
        writer
            .set_read_timeout(Some(PATIENCE))
            .expect("a socket takes a timeout");
        let reader = BufReader::new(writer.try_clone().expect("a socket can be cloned"));
        let mut console = Self {
            reader,
            writer,
            notifications: VecDeque::new(),
        };
        console.send(&json!({"connect": {"version": "0.9.2", "subscribe_notifications": true}}));
        assert_eq!(console.receive(), json!({"connect_ack": null}));
        console
    }

    /// Waits longer than usual for whatever comes next.
    ///
    /// # Panics
    /// If the limit is zero.
    #[must_use]
    pub fn patient(self, limit: Duration) -> Self {
        self.writer
            .set_read_timeout(Some(limit))
            .expect("a socket takes a timeout");
        self
    }

    /// Sends a request and returns what stands in `response`.
    ///
    /// # Panics
    /// If the connection ends or answers with anything else.
    pub fn request(&mut self, request: &Value) -> Value {
        self.send(&json!({ "request": request }));
        self.response()
    }

    /// Starts a container as it is.
    pub fn start(&mut self, container: &str) -> Value {
        self.request(&json!({"start": {"container": container, "init": null, "arguments": [], "environment": {}}}))
    }

    /// Asks for the start of a container and does not wait for the answer.
    pub fn begin_start(&mut self, container: &str) {
        self.send(&json!({"request": {"start": {"container": container, "init": null, "arguments": [], "environment": {}}}}));
    }

    /// Starts a container and asserts that it runs.
    ///
    /// # Panics
    /// If the answer is anything but `ok`.
    pub fn start_ok(&mut self, container: &str) {
        assert_eq!(
            self.start(container),
            json!({"start": {"ok": {"container": container}}})
        );
    }

    /// Starts a container and returns why it could not be set up.
    ///
    /// # Panics
    /// If the answer is anything but `start_container_failed`.
    pub fn start_failure(&mut self, container: &str) -> Failure {
        let answer = self.start(container);
        let text = answer
            .pointer("/start/error/error/start_container_failed/error")
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("start of {container} answered {answer}"));
        Failure::read(text)
    }

    /// Sends a signal to a container.
    pub fn kill(&mut self, container: &str, signal: i32) -> Value {
        self.request(&json!({"kill": {"container": container, "signal": signal}}))
    }

    /// Mounts one container and returns its element of the answer.
    ///
    /// # Panics
    /// If the answer has not exactly one element.
    pub fn mount(&mut self, container: &str) -> Value {
        one(
            self.request(&json!({"mount": {"containers": [container]}})),
            "mount",
        )
    }

    /// Unmounts one container and returns its element of the answer.
    ///
    /// # Panics
    /// If the answer has not exactly one element.
    pub fn umount(&mut self, container: &str) -> Value {
        one(
            self.request(&json!({"umount": {"containers": [container]}})),
            "umount",
        )
    }

    /// Unmounts one container and asserts that it worked.
    ///
    /// # Panics
    /// If the answer is anything but `ok`.
    pub fn umount_ok(&mut self, container: &str) {
        assert_eq!(
            self.umount(container),
            json!({"ok": {"container": container}})
        );
    }

    /// Returns the data of `inspect`.
    ///
    /// # Panics
    /// If the container is not known.
    pub fn inspect(&mut self, container: &str) -> Value {
        let answer = self.request(&json!({"inspect": {"container": container}}));
        let data = answer.pointer("/inspect/ok/data");
        data.cloned()
            .unwrap_or_else(|| panic!("inspect answered {answer}"))
    }

    /// Installs a package file.
    ///
    /// # Panics
    /// If the file cannot be read or the connection ends.
    pub fn install(&mut self, repository: &str, package: &Path) -> Value {
        let bytes = fs::read(package).expect("the package can be read");
        self.send(
            &json!({"request": {"install": {"repository": repository, "size": bytes.len()}}}),
        );
        self.writer
            .write_all(&bytes)
            .expect("the console reads the package");
        self.response()
    }

    /// Waits for a notification and drops those before it.
    ///
    /// # Panics
    /// If it does not come.
    pub fn expect_notification(&mut self, wanted: &Value) {
        loop {
            let notification = self.next_notification();
            if notification == *wanted {
                return;
            }
        }
    }

    /// Waits for the exit of a container and returns how it ended.
    ///
    /// # Panics
    /// If it does not end.
    pub fn expect_exit(&mut self, container: &str) -> Value {
        loop {
            let notification = self.next_notification();
            if let Some([name, status]) = notification
                .get("exit")
                .and_then(Value::as_array)
                .map(Vec::as_slice)
                && name == container
            {
                return status.clone();
            }
        }
    }

    /// The next notification, in the order they came.
    ///
    /// # Panics
    /// If none comes.
    pub fn next_notification(&mut self) -> Value {
        if let Some(notification) = self.notifications.pop_front() {
            return notification;
        }
        let message = self.receive();
        message
            .get("notification")
            .cloned()
            .unwrap_or_else(|| panic!("expected a notification, got {message}"))
    }

    /// Waits until the daemon closes the connection.
    ///
    /// # Panics
    /// If it stays open.
    pub fn expect_closed(&mut self) {
        let mut line = String::new();
        while self
            .reader
            .read_line(&mut line)
            .expect("the connection ends in order")
            > 0
        {
            line.clear();
        }
    }

    fn send(&mut self, message: &Value) {
        let line = format!("{message}\n");
        self.writer
            .write_all(line.as_bytes())
            .expect("the console reads");
    }

    fn response(&mut self) -> Value {
        loop {
            let mut message = self.receive();
            match message.get_mut("notification").map(Value::take) {
                Some(notification) => self.notifications.push_back(notification),
                None => {
                    return message
                        .get("response")
                        .cloned()
                        .unwrap_or_else(|| panic!("expected a response, got {message}"));
                }
            }
        }
    }

    fn receive(&mut self) -> Value {
        let mut line = String::new();
        let length = self
            .reader
            .read_line(&mut line)
            .expect("the console answers in time");
        assert!(length > 0, "the daemon closed the connection");
        serde_json::from_str(&line).expect("each line is one JSON value")
    }
}

/// Why a start failed: the step of docs/start.md and the errno, as far as it failed at one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The step, or the whole text if there is none.
    pub step: String,
    /// Which one of several: a mount point, a limit.
    pub detail: String,
    /// The number from errno(3); 0 if the failure is none of the kernel's.
    pub errno: i32,
}

impl Failure {
    /// Reads `STEP DETAIL: TEXT (os error ERRNO)`, as a step that failed is told.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let read = || {
            let (rest, errno) = text.strip_suffix(')')?.rsplit_once(" (os error ")?;
            let (place, _) = rest.rsplit_once(": ")?;
            let (step, detail) = place.split_once(' ').unwrap_or((place, ""));
            Some(Self {
                step: step.to_owned(),
                detail: detail.to_owned(),
                errno: errno.parse().ok()?,
            })
        };
        read().unwrap_or_else(|| Self {
            step: text.to_owned(),
            detail: String::new(),
            errno: 0,
        })
    }
}

fn one(answer: Value, kind: &str) -> Value {
    match answer
        .get(kind)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
    {
        Some([element]) => element.clone(),
        _ => panic!("{kind} answered {answer}"),
    }
}
