//! What a container does with the console that the daemon gave it.

use crate::harness::{Console, Site, eventually};
use rustix::{
    fs::OFlags,
    process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open},
};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
};

const CONNECT: &str = r#"{"connect":{"version":"0.9.2","subscribe_notifications":false}}"#;
const DATA: &str = "  /data: {type: persist}\n";

/// A container with a console that may ask who it is and what there is.
fn talker(site: &Site, name: &str, script: &str) -> String {
    let console = "console: {permissions: [ident, list]}";
    site.shell(name, script, console, DATA)
}

fn data(site: &Site, path: &str) -> PathBuf {
    site.path("data/default").join(path)
}

/// The lines that a container has written, once there are `count` of them.
fn written(site: &Site, path: &str, count: usize) -> Vec<Value> {
    let path = data(site, path);
    eventually("the container has its answers", || {
        let text = std::fs::read_to_string(&path).ok()?;
        let lines: Vec<&str> = text.lines().collect();
        (lines.len() == count && text.ends_with('\n')).then(|| {
            let line = |line: &&str| serde_json::from_str(line).unwrap();
            lines.iter().map(line).collect()
        })
    })
}

/// The process of the program of a container, on the host.
fn program(console: &mut Console, container: &str) -> i32 {
    let init = console.inspect(container)["process"]["pid"].clone();
    let children = std::fs::read_to_string(format!("/proc/{init}/task/{init}/children")).unwrap();
    children.trim().parse().unwrap()
}

#[test]
fn container_that_closes_its_console_goes_on() {
    let site = Site::new();
    let script = r#"
        eval "exec $NORTHSTAR_CONSOLE>&-"
        echo '"closed"' >/data/told
        exec sleep 1000
    "#;
    let app = talker(&site, "app", script);
    let daemon = site.daemon();
    let mut console = daemon.console();
    for _ in 0..2 {
        assert_eq!(console.start(&app), None);
        assert_eq!(written(&site, "app/told", 1), [json!("closed")]);
        std::fs::remove_file(data(&site, "app/told")).unwrap();
        assert!(console.inspect(&app)["process"]["pid"].is_number());
        assert_eq!(console.kill(&app, 9), None);
        assert_eq!(console.exit_of(&app), json!({"signalled": {"signal": 9}}));
    }
}

#[test]
fn children_of_the_program_speak_as_its_container() {
    let site = Site::new();
    let script = format!(
        r#"
        (printf '%s\n' '{CONNECT}' '{{"request":"ident"}}' >&$NORTHSTAR_CONSOLE; exit 0)
        (head -n 2 <&$NORTHSTAR_CONSOLE >/data/answers)
        exec sleep 1000
    "#
    );
    let app = talker(&site, "app", &script);
    let daemon = site.daemon();
    let mut console = daemon.console();
    assert_eq!(console.start(&app), None);
    let expected = [
        json!({"connect_ack": null}),
        json!({"response": {"ident": "app:0.0.1"}}),
    ];
    assert_eq!(written(&site, "app/answers", 2), expected);
}

#[test]
fn console_that_got_out_of_its_container_ends_with_it() {
    let site = Site::new();
    let app = talker(&site, "app", "exec sleep 1000");
    let daemon = site.daemon();
    let mut console = daemon.console();
    assert_eq!(console.start(&app), None);
    let pid = Pid::from_raw(program(&mut console, &app)).unwrap();
    let process = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    // The first descriptor behind the standard streams.
    let taken = pidfd_getfd(&process, 3, PidfdGetfdFlags::empty()).unwrap();
    let flags = rustix::fs::fcntl_getfl(&taken).unwrap();
    rustix::fs::fcntl_setfl(&taken, flags - OFlags::NONBLOCK).unwrap();
    let mut stolen = BufReader::new(UnixStream::from(taken));
    stolen
        .get_ref()
        .set_read_timeout(Some(crate::harness::PATIENCE))
        .unwrap();
    let mut ask = |line: &str| {
        stolen
            .get_mut()
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
        let mut answer = String::new();
        stolen.read_line(&mut answer).unwrap();
        serde_json::from_str::<Value>(&answer).unwrap()
    };
    assert_eq!(ask(CONNECT), json!({"connect_ack": null}));
    let ident = ask(r#"{"request":"ident"}"#);
    assert_eq!(ident, json!({"response": {"ident": "app:0.0.1"}}));
    assert_eq!(console.kill(&app, 9), None);
    assert_eq!(console.exit_of(&app), json!({"signalled": {"signal": 9}}));
    let mut rest = String::new();
    assert_eq!(stolen.read_line(&mut rest).unwrap(), 0, "{rest}");
}

#[test]
fn container_that_floods_its_console_concerns_nobody_else() {
    let mut site = Site::new();
    site.repository = "[container_console_options]\nstall_timeout = \"500ms\"";
    // Neither of them reads an answer.
    let asking = format!(
        r#"
        exec >&$NORTHSTAR_CONSOLE
        printf '%s\n' '{CONNECT}' || exit 1
        while printf '%s\n' '{{"request":"list"}}'; do :; done
        exit 7
    "#
    );
    let babbling = r#"
        trap '' PIPE
        exec >&$NORTHSTAR_CONSOLE
        while printf '%s\n' babble; do :; done
        exit 7
    "#;
    let asking = talker(&site, "asking", &format!("trap '' PIPE\n{asking}"));
    let babbling = talker(&site, "babbling", babbling);
    let quiet = talker(&site, "quiet", "exec sleep 1000");
    let daemon = site.daemon();
    let mut console = daemon.console();
    let mut observer = daemon.console();
    for container in [&asking, &babbling] {
        assert_eq!(console.start(container), None);
        assert_eq!(console.start(&quiet), None);
        assert_eq!(console.kill(&quiet, 9), None);
        let ended = console.exit_of(&quiet);
        assert_eq!(ended, json!({"signalled": {"signal": 9}}));
    }
    // Both find their console closed, and go on as their programs want.
    let mut ended = Vec::new();
    while ended.len() < 2 {
        let notification = observer.notification().unwrap();
        if let Some(exit) = notification.get("exit")
            && exit[0] != quiet
        {
            assert_eq!(exit[1], json!({"exit": {"code": 7}}));
            ended.push(exit[0].clone());
        }
    }
    ended.sort_by_key(Value::to_string);
    assert_eq!(ended, [json!(asking), json!(babbling)]);
}
