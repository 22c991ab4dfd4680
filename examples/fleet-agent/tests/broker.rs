//! The agent between a real broker and a real daemon. Needs root, loop devices and mosquitto.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

use std::{
    collections::BTreeSet,
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use northstar_tests::{Daemon, PATIENCE, Package, Site, eventually};
use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use serde_json::{Value, json};

const ID: &str = "ecu-7";

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A mosquitto of the test's own. What it has to remember it keeps in a file.
struct Broker {
    directory: tempfile::TempDir,
    port: u16,
    process: Option<Running>,
}

impl Broker {
    fn start() -> Broker {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let directory = tempfile::tempdir().unwrap();
        let configuration = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\nlog_dest none\n\
             persistence true\npersistence_location {}/\n",
            directory.path().display()
        );
        fs::write(directory.path().join("mosquitto.conf"), configuration).unwrap();
        let mut broker = Broker {
            directory,
            port,
            process: None,
        };
        broker.run();
        broker
    }

    fn run(&mut self) {
        let child = Command::new("mosquitto")
            .arg("-c")
            .arg(self.directory.path().join("mosquitto.conf"))
            .stdin(Stdio::null())
            .spawn()
            .expect("mosquitto runs: it is in Debian's package of that name");
        self.process = Some(Running(child));
        eventually("the broker", || {
            TcpStream::connect(("127.0.0.1", self.port)).ok()
        });
    }

    /// Ends it in order: with SIGTERM it writes down what it has to remember.
    fn stop(&mut self) {
        let mut process = self.process.take().unwrap();
        let status = Command::new("kill")
            .arg(process.0.id().to_string())
            .status()
            .unwrap();
        assert!(status.success());
        eventually("the end of the broker", || process.0.try_wait().unwrap());
    }
}

/// Somebody who watches the fleet. The broker keeps what it misses.
struct Observer {
    client: Client,
    messages: Receiver<(String, Value)>,
    seen: Vec<(String, Value)>,
}

impl Observer {
    fn new(broker: &Broker) -> Observer {
        let mut options = MqttOptions::new("observer", "127.0.0.1", broker.port);
        options.set_clean_session(false);
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

    fn desire(&self, revision: u64, containers: Value) {
        let desired = json!({"revision": revision, "containers": containers}).to_string();
        let topic = format!("northstar/{ID}/desired");
        self.client
            .publish(topic, QoS::AtLeastOnce, true, desired)
            .unwrap();
    }

    /// Waits until a message of a topic was seen for which `wanted` holds. Earlier ones count too.
    fn expect(&mut self, topic: &str, wanted: impl Fn(&Value) -> bool) {
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

    fn expect_event(&mut self, event: &Value) {
        self.expect("events", |message| message.get("event") == Some(event));
    }

    fn forget(&mut self) {
        self.seen.clear();
    }

    /// The numbers of the events so far.
    fn sequences(&self) -> BTreeSet<u64> {
        let events = self
            .seen
            .iter()
            .filter(|(topic, _)| topic.ends_with("events"));
        events
            .filter_map(|(_, message)| message.get("sequence")?.as_u64())
            .collect()
    }
}

fn agent(site: &Site, daemon: &Daemon, broker: &Broker, packages: &Path) -> Running {
    let child = Command::new(env!("CARGO_BIN_EXE_fleet-agent"))
        .args(["--id", ID, "--broker"])
        .arg(format!("mqtt://127.0.0.1:{}", broker.port))
        .arg("--daemon")
        .arg(daemon.url())
        .arg("--packages")
        .arg(packages)
        .arg("--position")
        .arg(site.path().join("position"))
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    Running(child)
}

fn runs(daemon: &Daemon, container: &str) -> bool {
    let data = daemon.console().inspect(container);
    data.get("process").is_some_and(Value::is_object)
}

fn exit(container: &str, signal: i32) -> impl Fn(&Value) -> bool {
    let container = json!(container);
    move |message| {
        let exit = message.pointer("/event/exit");
        let number = exit.and_then(|exit| exit.pointer("/1/signalled/signal"));
        exit.and_then(|exit| exit.get(0)) == Some(&container) && number == Some(&json!(signal))
    }
}

/// All numbers between the first and the last were seen.
fn assert_complete(sequences: &BTreeSet<u64>) {
    let (first, last) = (*sequences.first().unwrap(), *sequences.last().unwrap());
    let all: BTreeSet<u64> = (first..=last).collect();
    assert_eq!(*sequences, all);
}

#[test]
fn what_is_asked_for_comes_true_and_no_event_is_lost() {
    let site = Site::new();
    let packages = tempfile::tempdir().unwrap();
    let package = Package::app("app", &["wait"]).pack(packages.path(), Some(&site.key()));
    let package = package.file_name().unwrap().to_str().unwrap().to_owned();
    let daemon = site.start();
    let mut broker = Broker::start();
    let mut observer = Observer::new(&broker);
    let running = agent(&site, &daemon, &broker, packages.path());
    observer.expect("online", |online| *online == json!(true));

    let app = "app:0.0.1";
    let wanted =
        |state: &str| json!([{"container": app, "state": state, "package": package.clone()}]);
    observer.desire(1, wanted("running"));
    observer.expect_event(&json!({"install": app}));
    observer.expect_event(&json!({"started": app}));
    assert!(runs(&daemon, app));

    // Without a broker it goes on, and what happens meanwhile is told later.
    broker.stop();
    let mut console = daemon.console();
    console.kill(app, 9);
    console.expect_exit(app);
    console.expect_notification(&json!({"started": app}));
    broker.run();
    observer.expect("events", exit(app, 9));
    observer.desire(2, wanted("stopped"));
    observer.expect("events", exit(app, 15));
    assert_complete(&observer.sequences());

    // So is what happens without an agent.
    drop(running);
    observer.expect("online", |online| *online == json!(false));
    console.start_ok(app);
    console.kill(app, 9);
    console.expect_exit(app);
    let before = observer.sequences();
    observer.forget();
    let _running = agent(&site, &daemon, &broker, packages.path());
    observer.expect("events", exit(app, 9));
    let all: BTreeSet<u64> = before.union(&observer.sequences()).copied().collect();
    assert_complete(&all);

    observer.desire(3, wanted("absent"));
    observer.expect_event(&json!({"uninstall": app}));
    assert_eq!(
        daemon.console().request(&json!("list")),
        json!({"list": []})
    );
    daemon.stop();
}

#[test]
fn a_package_that_is_refused_is_reported_and_not_tried_again() {
    let site = Site::new();
    let packages = tempfile::tempdir().unwrap();
    let bad = packages.path().join("bad.npk");
    fs::write(&bad, "no package").unwrap();
    let good = Package::app("good", &["wait"]).pack(packages.path(), Some(&site.key()));
    let good = good.file_name().unwrap().to_str().unwrap().to_owned();
    let daemon = site.start();
    let broker = Broker::start();
    let mut observer = Observer::new(&broker);
    let _running = agent(&site, &daemon, &broker, packages.path());

    let containers = |good: &str| {
        json!([
            {"container": "bad:0.0.1", "state": "running", "package": "bad.npk"},
            {"container": "outside:0.0.1", "state": "running", "package": "/etc/passwd"},
            {"container": "good:0.0.1", "state": "running", "package": good},
        ])
    };
    observer.desire(1, containers(&good));
    let refused =
        |message: &Value| message.pointer("/refused/container") == Some(&json!("bad:0.0.1"));
    observer.expect("events", refused);
    // The others are not held up by it.
    observer.expect_event(&json!({"started": "good:0.0.1"}));
    observer.expect("report", |report| {
        let failures = report.get("failures");
        report.get("revision") == Some(&json!(1))
            && failures.is_some_and(|all| all.get("bad:0.0.1").is_some())
            && failures.is_some_and(|all| all.get("outside:0.0.1").is_some())
            && failures.is_some_and(|all| all.get("good:0.0.1").is_none())
    });
    // Each change of the machine makes the agent look again, and none makes it try again.
    for _ in 0..3 {
        observer.forget();
        daemon.console().kill("good:0.0.1", 9);
        observer.expect_event(&json!({"started": "good:0.0.1"}));
        let tried = observer.seen.iter().any(|(_, message)| refused(message));
        assert!(!tried, "{:#?}", observer.seen);
    }
    // Something else is asked for.
    observer.forget();
    observer.desire(2, containers(&good));
    observer.expect("events", refused);
    drop(broker);
    daemon.stop();
}
