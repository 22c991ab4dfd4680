//! Jobs that are cancelled, and installs that are too many.

use crate::{harness::Site, served::Served};
use serde_json::{Value, json};
use std::{fs, path::Path};

fn package(site: &Site, name: &str) -> (String, Vec<u8>) {
    let container = site.shell(name, "exit 0", "", "");
    let path = fs::read_dir(site.path("packages"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with(name)
        })
        .unwrap();
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(path).unwrap();
    (container, bytes)
}

/// Packages, and what is on its way in or out.
fn files(folder: &Path) -> Vec<String> {
    let names = |folder: &Path| {
        let entries = fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect::<Vec<_>>()
    };
    let mut files = names(folder);
    files.retain(|name| name != ".staging");
    files.extend(names(&folder.join(".staging")));
    files
}

#[test]
fn a_cancelled_install_leaves_nothing_and_one_that_was_done_stays() {
    let site = Site::new();
    let (container, bytes) = package(&site, "app");
    let served = Served::start(&site, "", "", None);
    let mut client = served.client();
    let mut cancelled = 0;
    for _ in 0..30 {
        let install =
            client.begin(json!({"install": {"repository": "default", "size": bytes.len()}}));
        client.raw(&bytes);
        client.begin(json!({"cancel": {"id": install}}));
        // Whichever was faster: the answer says what is true.
        let answer = client.response(install)["install"].take();
        let list = client.ask(json!("list"))["list"].take();
        if answer == json!({"error": {"error": {"cancelled": {}}}}) {
            cancelled += 1;
            assert_eq!(list, json!([]));
            assert_eq!(files(&site.path("packages")), Vec::<String>::new());
        } else {
            assert_eq!(answer, json!({"ok": {"container": container}}));
            assert_eq!(list, json!([container]));
            let removed = client.ask(json!({"uninstall": {"container": container, "wipe": false}}));
            assert_eq!(
                removed["uninstall"],
                json!({"ok": {"container": container}})
            );
        }
    }
    println!("{cancelled} of 30 were cancelled in time");
    // And the way is free.
    let install = client.begin(json!({"install": {"repository": "default", "size": bytes.len()}}));
    client.raw(&bytes);
    assert_eq!(
        client.response(install)["install"],
        json!({"ok": {"container": container}})
    );
}

#[test]
fn a_cancelled_start_leaves_nothing_that_runs() {
    let site = Site::new();
    let app = site.shell("app", "while :; do sleep 1; done", "", "");
    let served = Served::start(&site, "", "", None);
    let mut client = served.client();
    for _ in 0..20 {
        let start = client.begin(json!({"start": {"container": app}}));
        client.begin(json!({"cancel": {"id": start}}));
        let answer = client.response(start)["start"].take();
        let data = client.ask(json!({"inspect": {"container": app}}));
        let process = &data["inspect"]["ok"]["data"]["process"];
        if answer == json!({"ok": {"container": app}}) {
            assert!(process.is_object());
            client.kill(&app, 9);
            client.exit();
        } else {
            assert_eq!(answer["error"]["error"], json!({"cancelled": {}}));
            assert_eq!(process, &Value::Null);
        }
    }
    client.start(&app);
}

#[test]
fn one_install_too_many_is_answered() {
    let site = Site::new();
    let (container, bytes) = package(&site, "app");
    let served = Served::start(&site, "max_installs = 1", "", None);
    let mut first = served.client();
    assert_eq!(first.granted["limits"]["max_installs"], 1);
    let one = first.begin(json!({"install": {"repository": "default", "size": bytes.len()}}));
    let (head, tail) = bytes.split_at(100);
    first.raw(head);
    // Answered when the first one has its place.
    while first.receive().get("progress").is_none() {}
    let mut second = served.client();
    let two = second.begin(json!({"install": {"repository": "default", "size": bytes.len()}}));
    second.raw(&bytes);
    assert_eq!(
        second.response(two)["install"],
        json!({"error": {"error": {"too_many_installs": {"limit": 1}}}})
    );
    first.raw(tail);
    assert_eq!(
        first.response(one)["install"],
        json!({"ok": {"container": container}})
    );
}
