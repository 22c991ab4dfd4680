//! Events, their reasons, and what is counted.

use crate::{
    client::Client,
    harness::{SLEEP, Site, eventually},
    served::Served,
};
use serde_json::{Value, json};

/// Ends at the first SIGTERM with 5.
const POLITE: &str = "trap 'exit 5' TERM; while :; do sleep 0.05; done";

#[test]
fn every_end_has_its_reason() {
    let site = Site::new();
    let exits = site.shell("exits", "exit 3", "", "");
    let crashes = site.shell("crashes", "kill -SEGV $$", "", "");
    let polite = site.shell("polite", POLITE, "", "");
    let sleeps = site.shell("sleeps", SLEEP, "", "");
    let served = Served::start(&site, "", "", None);
    let mut client = served.client();

    client.start(&exits);
    assert_eq!(
        client.exit(),
        json!({"exit": {"code": 3, "reason": "own_exit"}})
    );
    client.start(&crashes);
    assert_eq!(
        client.exit(),
        json!({"signalled": {"signal": 11, "reason": "own_signal"}})
    );
    client.start(&polite);
    client.kill(&polite, 15);
    // A shell that has not set its trap yet is ended by the signal itself.
    let exit = client.exit();
    let by_trap =
        json!({"exit": {"code": 5, "reason": "killed_by_request", "requested_signal": 15}});
    let by_signal =
        json!({"signalled": {"signal": 15, "reason": "killed_by_request", "requested_signal": 15}});
    assert!(exit == by_trap || exit == by_signal, "{exit}");
    client.start(&sleeps);
    client.kill(&sleeps, 9);
    assert_eq!(
        client.exit(),
        json!({"signalled": {"signal": 9, "reason": "killed_by_request", "requested_signal": 9}})
    );
    // Somebody on the host kills init.
    client.start(&sleeps);
    let data = client.ask(json!({"inspect": {"container": sleeps}}));
    let pid = data["inspect"]["ok"]["data"]["process"]["pid"]
        .as_i64()
        .unwrap();
    let pid = nix::unistd::Pid::from_raw(pid.try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    let exit = json!({"signalled": {"signal": 9, "reason": "init_died"}});
    assert_eq!(client.exit(), exit);
    let data = client.ask(json!({"inspect": {"container": sleeps}}));
    let data = &data["inspect"]["ok"]["data"];
    assert_eq!(
        (&data["state"], &data["starts"], &data["last_exit"]),
        (&json!("mounted"), &json!(2), &exit)
    );
    // The end of the daemon.
    client.start(&sleeps);
    client.ask(json!("shutdown"));
    assert_eq!(
        client.exit(),
        json!({"signalled": {"signal": 15, "reason": "shutdown"}})
    );
}

#[test]
fn images_come_and_go_and_nothing_is_lost_between_two_connections() {
    let site = Site::new();
    let app = site.shell("app", "exit 0", "", "");
    let served = Served::start(&site, "", "", None);
    let mut client = served.client();
    let instance = client.granted["instance"].clone();
    client.ask(json!({"mount": {"containers": [app]}}));
    let first = client.notification();
    assert_eq!(first["notification"], json!({"mounted": app}));
    drop(client);

    let mut other = served.client();
    other.start(&app);
    other.exit();
    other.ask(json!({"umount": {"containers": [app]}}));

    let seen = first["sequence"].clone();
    let resume = json!({"sequence": true, "details": true, "resume": {"instance": instance, "sequence": seen}});
    let mut again = Client::connect(&served.socket, resume);
    assert_eq!(again.granted["resumed"], true);
    let kinds: Vec<Value> = (0..3)
        .map(|_| {
            let mut message = again.notification();
            let mut notification = message["notification"].take();
            let kind = notification
                .as_object_mut()
                .unwrap()
                .keys()
                .next()
                .unwrap()
                .clone();
            json!([message["sequence"], kind])
        })
        .collect();
    let seen = seen.as_u64().unwrap();
    assert_eq!(
        kinds,
        [
            json!([seen + 1, "started"]),
            json!([seen + 2, "exit"]),
            json!([seen + 3, "umounted"])
        ]
    );
}

#[test]
fn statistics_of_all_containers_are_one_request() {
    let site = Site::new();
    let sleeps = site.shell("sleeps", SLEEP, "", "");
    let rests = site.shell("rests", "exit 0", "", "");
    let served = Served::start(&site, "", "", None);
    let mut client = served.client();
    client.start(&sleeps);
    let statistics =
        |client: &mut Client| client.ask(json!({"statistics": {}}))["statistics"].take();
    let all = statistics(&mut client);
    assert_eq!(all[0]["container"], json!(rests));
    assert_eq!(
        (&all[0]["mounted"], &all[0]["starts"], &all[0]["process"]),
        (&json!(false), &json!(0), &Value::Null)
    );
    assert_eq!(all[1]["container"], json!(sleeps));
    assert_eq!(
        (&all[1]["mounted"], &all[1]["starts"]),
        (&json!(true), &json!(1))
    );
    assert!(all[1]["process"]["pid"].as_u64().unwrap() > 1);
    // Where the kernel counts at all, a program that runs has used something.
    if all[1]["process"]["statistics"]["cpu"]["usage_us"].is_u64() {
        eventually("CPU time", || {
            let all = statistics(&mut client);
            let used = all[1]["process"]["statistics"]["cpu"]["usage_us"].as_u64();
            used.filter(|used| *used > 0)
        });
    }
    client.kill(&sleeps, 9);
    client.exit();
    client.start(&sleeps);
    assert_eq!(statistics(&mut client)[1]["starts"], json!(2));
}
