//! The state that is asked for comes true, and what happens on the way is told.

use std::{collections::BTreeSet, fs};

use northstar_tests::{Daemon, Package, Site, eventually};
use serde_json::{Value, json};

use crate::{LARGEST, agent, agent_with, mosquitto::Broker, observer::Observer, packed};

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

/// Events that the broker has to get wait; the machine does not.
#[test]
fn a_daemon_that_comes_back_is_served_while_events_wait_for_the_broker() {
    let site = Site::new();
    site.pack(&Package::app("noise", &["exit", "0"]));
    let packages = tempfile::tempdir().unwrap();
    let app = packed(&site, packages.path(), "app", "0.0.1", &["wait"]);
    let daemon = site.start();
    let mut broker = Broker::start();
    let mut observer = Observer::new(&broker);
    let _running = agent(&site, &daemon, &broker, packages.path());
    observer.desire(1, json!([app("running")]));
    observer.expect_event(&json!({"started": "app:0.0.1"}));
    broker.stop();
    // More than the agent keeps, in all places: two with each start.
    let mut console = daemon.console();
    for _ in 0..400 {
        console.start_ok("noise:0.0.1");
        console.expect_exit("noise:0.0.1");
    }
    daemon.stop();
    let daemon = site.start();
    eventually("the container", || runs(&daemon, "app:0.0.1").then_some(()));
    // What the first daemon can tell no more is missing, and that is told.
    broker.run();
    observer.expect("events", |event| event.get("gap").is_some());
    daemon.stop();
}
