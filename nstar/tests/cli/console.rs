//! A console that goes on answering until the client goes.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixListener,
    sync::{Arc, Mutex},
    thread,
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A daemon with two containers: `app:1.0.0` runs until it is killed, `tool:2.0.0` does not.
pub struct Console {
    dir: TempDir,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Signals that `app:1.0.0` got.
    signals: Vec<i64>,
    /// How often statistics were asked for.
    samples: u64,
    /// What was removed.
    uninstalled: Vec<String>,
}

impl Console {
    /// `details` says whether the extension is granted.
    pub fn new(details: bool) -> Console {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("console")).unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        // Ends with the test program; whoever does not connect leaves it alone.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut reader = BufReader::new(stream.unwrap());
                let mut line = String::new();
                while reader.read_line(&mut line).unwrap_or(0) > 0 {
                    let message = serde_json::from_str(&line).unwrap();
                    let answer = answer(&message, details, &shared);
                    line.clear();
                    if writeln!(reader.get_mut(), "{answer}").is_err() {
                        break;
                    }
                }
            }
        });
        Console { dir, state }
    }

    pub fn url(&self) -> String {
        format!("unix://{}/console", self.dir.path().display())
    }

    pub fn signals(&self) -> Vec<i64> {
        self.state.lock().unwrap().signals.clone()
    }

    pub fn uninstalled(&self) -> Vec<String> {
        self.state.lock().unwrap().uninstalled.clone()
    }

    pub fn samples(&self) -> u64 {
        self.state.lock().unwrap().samples
    }
}

fn answer(message: &Value, details: bool, state: &Mutex<State>) -> Value {
    if message.get("connect").is_some() {
        let granted = json!({
            "extensions": ["details"], "instance": "00", "sequence": 0, "resumed": false, "limits": {},
        });
        return json!({ "connect_ack": details.then_some(granted) });
    }
    let mut state = state.lock().unwrap();
    let request = &message["request"];
    let response = if request == "list" {
        json!({ "list": ["app:1.0.0", "tool:2.0.0"] })
    } else if request.get("statistics").is_some() {
        assert!(details, "statistics without the extension");
        state.samples += 1;
        json!({ "statistics": [
            { "container": "app:1.0.0", "mounted": true, "starts": 3, "process": process(&state) },
            { "container": "tool:2.0.0", "mounted": false, "starts": 0, "process": null },
        ]})
    } else if let Some(inspect) = request.get("inspect") {
        state.samples += 1;
        let container = inspect["container"].as_str().unwrap();
        let (name, version) = container.split_once(':').unwrap();
        let runs = name == "app";
        json!({ "inspect": { "ok": { "container": container, "data": {
            "manifest": { "name": name, "version": version, "init": "/a", "uid": 1, "gid": 1 },
            "repository": "r", "mounted": runs,
            "process": runs.then(|| process(&state)),
        }}}})
    } else if let Some(uninstall) = request.get("uninstall") {
        let container = uninstall["container"].as_str().unwrap().to_owned();
        state.uninstalled.push(container.clone());
        json!({ "uninstall": { "ok": { "container": container } } })
    } else if let Some(kill) = request.get("kill") {
        state.signals.push(kill["signal"].as_i64().unwrap());
        json!({ "kill": { "ok": { "container": kill["container"] } } })
    } else {
        panic!("unexpected: {message}")
    };
    json!({ "response": response })
}

fn process(state: &State) -> Value {
    json!({ "pid": 42, "uptime": 3_661_000_000_000_u64, "statistics": {
        "cpu": { "usage_us": state.samples * 1000 },
        "memory": { "usage": 5 << 20, "peak": 9 << 20 },
        "pids": { "current": 7 },
    }})
}
