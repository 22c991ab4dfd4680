//! The examples of `examples` that speak to the daemon from inside of a container.

use std::{fs, process::Command};

use northstar_tests::{
    Console, Daemon, PATIENCE, Site, Stream, eventually, programs,
    programs::{example, workspace},
};
use serde_json::{Value, json};

/// Packs an example as `cargo xtask examples` does, into the repository of a site.
fn pack(site: &Site, name: &str) {
    let image = tempfile::tempdir().unwrap();
    fs::copy(example(name, true), image.path().join(name)).unwrap();
    let manifest = workspace()
        .join("examples")
        .join(name)
        .join("manifest.yaml");
    let output = Command::new(&programs().sextant)
        .arg("pack")
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--root")
        .arg(image.path())
        .arg("--key")
        .arg(site.key())
        .arg("--out")
        .arg(site.repository())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

/// Waits until the container has written all of `lines`, in this order, possibly with others in between.
fn expect_lines(daemon: &Daemon, container: &str, lines: &[&str]) {
    let found = |output: &[String]| {
        let mut output = output.iter();
        lines.iter().all(|line| output.any(|other| other == line))
    };
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let output = daemon.output(container, Stream::Stdout);
        if found(&output) {
            return;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "{output:#?} has not {lines:#?}\n{}",
            daemon.log()
        );
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

fn start_with(console: &mut Console, container: &str, arguments: &[&str]) {
    let request = json!({"start": {
        "container": container, "init": null, "arguments": arguments, "environment": {},
    }});
    assert_eq!(
        console.request(&request),
        json!({"start": {"ok": {"container": container}}})
    );
}

#[test]
fn console_knows_itself_and_sees_what_happens() {
    let site = Site::new();
    pack(&site, "console");
    let daemon = site.start();
    let mut console = daemon.console();
    let me = "console:0.0.1";
    console.start_ok(me);
    expect_lines(
        &daemon,
        me,
        &[
            "I am console:0.0.1",
            "installed: console:0.0.1",
            "not permitted: Repositories",
        ],
    );
    // Its permissions are exactly those of its manifest.
    let permissions = console.inspect(me);
    assert_eq!(
        permissions.pointer("/manifest/console/permissions"),
        Some(&json!(["ident", "list", "notifications"]))
    );

    let outside = tempfile::tempdir().unwrap();
    let package = northstar_tests::Package::resource("lib", "1.2.3", "f", "x")
        .pack(outside.path(), Some(&site.key()));
    let installed = console.install("default", &package);
    assert_eq!(
        installed,
        json!({"install": {"ok": {"container": "lib:1.2.3"}}})
    );
    daemon.expect_output(me, |line| line.starts_with("happened: Install("));

    assert_eq!(
        console.kill(me, 15),
        json!({"kill": {"ok": {"container": me}}})
    );
    assert_eq!(
        console.expect_exit(me),
        json!({"signalled": {"signal": 15}})
    );
    daemon.stop();
}

#[test]
fn tokens_tell_a_server_who_its_clients_are() {
    let site = Site::new();
    pack(&site, "token-server");
    pack(&site, "token-client");
    let daemon = site.start();
    let mut console = daemon.console();
    let (server, client) = ("token-server:0.0.1", "token-client:0.0.1");
    console.start_ok(server);
    daemon.expect_output(server, |line| line == "serving");

    // Each run is told apart by what it says, and by what the server has heard from the daemon.
    let runs: [(&[&str], &str, &str); 4] = [
        (&[], "welcome, token-client", "token-client: Ok"),
        (&["forge"], "refused: Invalid", "token-client: Invalid"),
        (&["lie"], "refused: Invalid", "somebody: Invalid"),
        (&["elsewhere"], "refused: Invalid", "token-client: Invalid"),
    ];
    for (number, (arguments, answer, verified)) in runs.into_iter().enumerate() {
        start_with(&mut console, client, arguments);
        assert_eq!(console.expect_exit(client), json!({"exit": {"code": 0}}));
        let line = |container: &str| {
            eventually("a line of this run", || {
                let lines = daemon.output(container, Stream::Stdout);
                let skipped = number + usize::from(container == server);
                lines.get(skipped).cloned()
            })
        };
        assert_eq!(line(client), format!("token-server says: {answer}"));
        assert_eq!(line(server), verified);
    }

    // Neither may do more than its manifest says.
    for (container, permissions) in [
        (server, json!(["token_verification"])),
        (client, json!(["ident", "token_create"])),
    ] {
        let data: Value = console.inspect(container);
        let found = data.pointer("/manifest/console/permissions");
        assert_eq!(found, Some(&permissions));
    }
    daemon.stop();
}
