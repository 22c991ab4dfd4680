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
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        mpsc::{self, Receiver},
    },
    thread,
    time::{Duration, Instant},
};

use northstar_tests::{Daemon, PATIENCE, Package, Site, eventually};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use rustls::{
    AlertDescription, ServerConfig, ServerConnection,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde_json::{Value, json};
use tempfile::TempDir;

const ID: &str = "ecu-7";

/// Largest message in bytes.
const LARGEST: usize = 1024 * 1024;

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
    directory: TempDir,
    port: u16,
    /// Of the listener with TLS, if there is one.
    tls: Option<u16>,
    process: Option<Running>,
}

/// A port that nobody listens at.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Broker {
    fn start() -> Broker {
        Broker::with(tempfile::tempdir().unwrap(), None, "")
    }

    /// A broker with a second listener, for clients that have a certificate of `authority`. Its files are in its directory.
    fn with_tls(authority: &Authority) -> Broker {
        let directory = tempfile::tempdir().unwrap();
        authority.write(directory.path());
        authority.issue(directory.path(), "broker");
        authority.issue(directory.path(), "client");
        let tls = free_port();
        let at = directory.path().display();
        let more = format!(
            "listener {tls} 127.0.0.1\ncafile {at}/ca.pem\ncertfile {at}/broker.pem\n\
             keyfile {at}/broker.key\nrequire_certificate true\n"
        );
        Broker::with(directory, Some(tls), &more)
    }

    /// `more` are lines of its configuration.
    fn with(directory: TempDir, tls: Option<u16>, more: &str) -> Broker {
        let port = free_port();
        let configuration = format!(
            "allow_anonymous true\nuser root\nlog_dest none\n\
             persistence true\npersistence_location {}/\nlistener {port} 127.0.0.1\n{more}",
            directory.path().display()
        );
        fs::write(directory.path().join("mosquitto.conf"), configuration).unwrap();
        let mut broker = Broker {
            directory,
            port,
            tls,
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
        for port in [Some(self.port), self.tls].into_iter().flatten() {
            eventually("the broker", || {
                TcpStream::connect(("127.0.0.1", port)).ok()
            });
        }
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

/// An authority for the broker and its clients.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        Authority(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// Writes its certificate as `ca.pem`.
    fn write(&self, directory: &Path) {
        fs::write(directory.join("ca.pem"), self.0.pem()).unwrap();
    }

    /// Writes a certificate for `localhost` as `NAME.pem` and its key as `NAME.key`, and returns both as DER.
    fn issue(
        &self,
        directory: &Path,
        name: &str,
    ) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        // mosquitto asks for one.
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        fs::write(directory.join(format!("{name}.pem")), certificate.pem()).unwrap();
        let path = directory.join(format!("{name}.key"));
        fs::write(&path, key.serialize_pem()).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        let secret = PrivatePkcs8KeyDer::from(key.serialize_der());
        (certificate.der().clone(), secret.into())
    }
}

fn agent(site: &Site, daemon: &Daemon, broker: &Broker, packages: &Path) -> Running {
    let url = format!("mqtt://127.0.0.1:{}", broker.port);
    agent_with(site, daemon, packages, &["--broker", &url])
}

fn agent_with(site: &Site, daemon: &Daemon, packages: &Path, options: &[&str]) -> Running {
    let child = Command::new(env!("CARGO_BIN_EXE_fleet-agent"))
        .args(["--id", ID])
        .args(options)
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

/// What the agent would say about it in full is more than it may send: that must not be the last thing it says.
#[test]
fn the_largest_nonsense_is_answered_and_what_follows_is_done() {
    let site = Site::new();
    let packages = tempfile::tempdir().unwrap();
    let app = packed(&site, packages.path(), "app", "0.0.1", &["wait"]);
    let daemon = site.start();
    let broker = Broker::start();
    let mut observer = Observer::new(&broker);
    let _running = agent(&site, &daemon, &broker, packages.path());
    // The broker's message just fits, and an answer that repeats it does not.
    let large = "x".repeat(LARGEST - 125);
    observer.desire(1, json!([{ large.clone(): 1 }]));
    observer.expect("events", |event| {
        event.get("desired_state_refused").is_some()
    });
    observer.desire(
        2,
        json!([{"container": "far:0.0.1", "state": "running", "package": large}]),
    );
    observer.expect("report", |report| {
        report.pointer("/failures/far:0.0.1").is_some()
    });
    observer.desire(3, json!([app("running")]));
    observer.expect_event(&json!({"started": "app:0.0.1"}));
    daemon.stop();
}

/// Packs a container, and the element of a desired state that asks for it.
fn packed(
    site: &Site,
    packages: &Path,
    name: &str,
    version: &str,
    arguments: &[&str],
) -> impl Fn(&str) -> Value + use<> {
    let package = Package::app(name, arguments).version(version);
    let package = package.pack(packages, Some(&site.key()));
    let package = package.file_name().unwrap().to_str().unwrap().to_owned();
    let container = format!("{name}:{version}");
    move |state| json!({"container": container, "state": state, "package": package})
}

#[test]
fn the_broker_is_heard_while_a_container_does_not_end() {
    let site = Site::new();
    let packages = tempfile::tempdir().unwrap();
    let stubborn = packed(
        &site,
        packages.path(),
        "stubborn",
        "0.0.1",
        &["ignore-term"],
    );
    let other = packed(&site, packages.path(), "other", "0.0.1", &["wait"]);
    let daemon = site.start();
    let broker = Broker::start();
    let mut observer = Observer::new(&broker);
    let url = format!("mqtt://127.0.0.1:{}", broker.port);
    // It would take longer than any test.
    let options = ["--broker", &url, "--grace", "1000000"];
    let _running = agent_with(&site, &daemon, packages.path(), &options);

    observer.desire(1, json!([stubborn("running")]));
    observer.expect_event(&json!({"started": "stubborn:0.0.1"}));
    observer.desire(2, json!([stubborn("stopped")]));
    observer.expect("report", |report| report.get("revision") == Some(&json!(2)));
    observer.desire(3, json!([stubborn("stopped"), other("running")]));
    observer.expect_event(&json!({"started": "other:0.0.1"}));
    // It was asked once, and not again with each event.
    observer.desire(4, json!([stubborn("stopped"), other("stopped")]));
    observer.expect("events", exit("other:0.0.1", 15));
    assert!(runs(&daemon, "stubborn:0.0.1"));
    daemon.console().kill("stubborn:0.0.1", 9);
    observer.expect("events", exit("stubborn:0.0.1", 9));
    daemon.stop();
}

#[test]
fn a_container_that_ignores_sigterm_does_not_hold_up_its_update() {
    let site = Site::new();
    let packages = tempfile::tempdir().unwrap();
    let old = packed(&site, packages.path(), "app", "0.0.1", &["ignore-term"]);
    let new = packed(&site, packages.path(), "app", "0.0.2", &["wait"]);
    let daemon = site.start();
    let broker = Broker::start();
    let mut observer = Observer::new(&broker);
    let url = format!("mqtt://127.0.0.1:{}", broker.port);
    let options = ["--broker", &url, "--grace", "1"];
    let _running = agent_with(&site, &daemon, packages.path(), &options);

    observer.desire(1, json!([old("running")]));
    observer.expect_event(&json!({"started": "app:0.0.1"}));
    observer.desire(2, json!([old("absent"), new("running")]));
    observer.expect("events", exit("app:0.0.1", 9));
    observer.expect_event(&json!({"started": "app:0.0.2"}));
    observer.expect_event(&json!({"uninstall": "app:0.0.1"}));
    daemon.stop();
}

#[test]
fn a_broker_with_tls_is_served_by_whoever_has_a_certificate() {
    let site = Site::new();
    let packages = tempfile::tempdir().unwrap();
    let app = packed(&site, packages.path(), "app", "0.0.1", &["wait"]);
    let daemon = site.start();
    let broker = Broker::with_tls(&Authority::new("fleet"));
    let mut observer = Observer::new(&broker);
    let url = format!("mqtts://localhost:{}", broker.tls.unwrap());
    let file = |name: &str| broker.directory.path().join(name).display().to_string();
    let (ca, cert, key) = (file("ca.pem"), file("client.pem"), file("client.key"));
    let options = [
        "--broker",
        &url,
        "--broker-ca",
        &ca,
        "--broker-cert",
        &cert,
        "--broker-key",
        &key,
    ];
    let _running = agent_with(&site, &daemon, packages.path(), &options);
    observer.expect("online", |online| *online == json!(true));
    observer.desire(1, json!([app("running")]));
    observer.expect_event(&json!({"started": "app:0.0.1"}));
    daemon.stop();
}

/// A broker that has a certificate, but not one of the authority, or not for its name.
#[test]
fn a_false_broker_is_told_nothing() {
    let site = Site::new();
    let packages = tempfile::tempdir().unwrap();
    let daemon = site.start();
    let directory = tempfile::tempdir().unwrap();
    let (true_authority, other) = (Authority::new("fleet"), Authority::new("other"));
    true_authority.write(directory.path());
    let ca = directory.path().join("ca.pem").display().to_string();
    for (authority, host, expected) in [
        (&other, "localhost", AlertDescription::UnknownCA),
        (
            &true_authority,
            "127.0.0.1",
            AlertDescription::BadCertificate,
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (certificate, key) = authority.issue(directory.path(), "broker");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let url = format!("mqtts://{host}:{port}");
        let options = ["--broker", &url, "--broker-ca", &ca];
        let _running = agent_with(&site, &daemon, packages.path(), &options);
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut connection = ServerConnection::new(Arc::new(config)).unwrap();
        let error = loop {
            match connection.complete_io(&mut stream) {
                Ok((0, 0)) => panic!("the agent takes {host} for its broker"),
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        let error: &rustls::Error = error.get_ref().unwrap().downcast_ref().unwrap();
        assert_eq!(*error, rustls::Error::AlertReceived(expected));
    }
    daemon.stop();
}
