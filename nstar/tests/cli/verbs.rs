//! What each verb asks and prints.

use crate::daemon::{Daemon, LIST, Step, inspected, ok, stdout};

const START: &str = r#"{"start":{"container":$D,"init":null,"arguments":[],"environment":{}}}"#;
const STARTED: &str = r#"{"start":{"ok":{"container":$D}}}"#;

#[test]
fn list_shows_states() {
    let steps = || {
        vec![
            Step::Answer(r#""list""#, r#"{"list":[$D,$C]}"#),
            inspected("a:0.0.1", true, true),
            inspected("a:0.0.2", true, false),
        ]
    };
    let expected = "\
NAME  VERSION  REPOSITORY  STATE    PID  UPTIME
a     0.0.1    r           running  42   1m 1s
a     0.0.2    r           mounted
";
    for verb in ["list", "ls"] {
        assert_eq!(ok(&[verb], steps()), expected);
    }
}

#[test]
fn list_without_the_permission_to_inspect() {
    let steps = vec![
        Step::Answer(r#""list""#, r#"{"list":[$D]}"#),
        Step::Answer(
            r#"{"inspect":{"container":$D}}"#,
            r#"{"permission_denied":{"inspect":{"container":$D}}}"#,
        ),
    ];
    assert_eq!(ok(&["list"], steps), "a:0.0.2\n");
}

#[test]
fn json_is_the_answer_as_it_came_and_nothing_else() {
    let start = vec![
        LIST,
        Step::Answer(START, r#"{"start":{"ok":{"container":$D,"new": 1}}}"#),
    ];
    let line = "{\"response\":{\"start\":{\"ok\":{\"container\":\"a:0.0.2\",\"new\": 1}}}}\n";
    assert_eq!(ok(&["-j", "start", "a"], start), line);
    let list = vec![
        Step::Say(r#"{"notification":{"started":$C}}"#),
        Step::Answer(r#""list""#, r#"{"list":[$C]}"#),
    ];
    assert_eq!(
        ok(&["list", "--json"], list),
        "{\"response\":{\"list\":[\"a:0.0.1\"]}}\n"
    );
}

#[test]
fn repositories_are_sorted() {
    for verb in ["repositories", "repos"] {
        let steps = vec![Step::Answer(
            r#""repositories""#,
            r#"{"repositories":["s","r"]}"#,
        )];
        assert_eq!(ok(&[verb], steps), "r\ns\n");
    }
}

#[test]
fn start_takes_the_newest_version_of_a_name_and_exactly_another() {
    assert_eq!(
        ok(&["start", "a"], vec![LIST, Step::Answer(START, STARTED)]),
        "started a:0.0.2\n"
    );
    let exact = Step::Answer(
        r#"{"start":{"container":$C,"init":"<INIT>","arguments":["-v"],"environment":{"A":"b"}}}"#,
        r#"{"start":{"ok":{"container":$C}}}"#,
    );
    let words = ["start", "a:0.0.1", "A=b", "<INIT>", "-v"];
    assert_eq!(ok(&words, vec![exact]), "started a:0.0.1\n");
}

#[test]
fn kill_takes_the_running_version_and_a_signal_by_name() {
    let steps = vec![
        LIST,
        inspected("a:0.0.1", true, true),
        inspected("a:0.0.2", true, false),
        Step::Answer(
            r#"{"kill":{"container":$C,"signal":15}}"#,
            r#"{"kill":{"ok":{"container":$C}}}"#,
        ),
    ];
    assert_eq!(
        ok(&["kill", "a"], steps),
        "sent signal 15 (SIGTERM) to a:0.0.1\n"
    );
    let steps = vec![Step::Answer(
        r#"{"kill":{"container":$C,"signal":9}}"#,
        r#"{"kill":{"ok":{"container":$C}}}"#,
    )];
    assert_eq!(
        ok(&["kill", "a:0.0.1", "kill"], steps),
        "sent signal 9 (SIGKILL) to a:0.0.1\n"
    );
}

#[test]
fn kill_takes_the_signal_before_the_container() {
    for signal in ["-9", "-KILL", "-sigkill"] {
        let steps = vec![Step::Answer(
            r#"{"kill":{"container":$C,"signal":9}}"#,
            r#"{"kill":{"ok":{"container":$C}}}"#,
        )];
        assert_eq!(
            ok(&["kill", signal, "a:0.0.1"], steps),
            "sent signal 9 (SIGKILL) to a:0.0.1\n"
        );
    }
}

#[test]
fn kill_takes_a_signal_as_an_option() {
    for (signal, number) in [("-9", 9), ("-KILL", 9), ("-SIGTERM", 15), ("-usr1", 10)] {
        let request = format!(r#"{{"kill":{{"container":$C,"signal":{number}}}}}"#);
        let answer = || {
            vec![Step::Answer(
                request.clone().leak(),
                r#"{"kill":{"ok":{"container":$C}}}"#,
            )]
        };
        let told = ok(&["kill", "a:0.0.1", signal], answer());
        assert!(
            told.starts_with(&format!("sent signal {number} ")),
            "{told}"
        );
        // An option of nstar stays one.
        let json = ok(&["kill", "a:0.0.1", "-j", signal], answer());
        assert!(json.starts_with('{'), "{json}");
    }
}

#[test]
fn mount_and_umount_several() {
    let steps = vec![
        LIST,
        Step::Answer(
            r#"{"mount":{"containers":[$D,"b:1.0.0"]}}"#,
            r#"{"mount":[{"ok":{"container":$D}},{"ok":{"container":"b:1.0.0"}}]}"#,
        ),
    ];
    assert_eq!(
        ok(&["mount", "a", "b:1.0.0"], steps),
        "mounted a:0.0.2\nmounted b:1.0.0\n"
    );
    let steps = vec![
        LIST,
        inspected("a:0.0.1", true, false),
        inspected("a:0.0.2", false, false),
        Step::Answer(
            r#"{"umount":{"containers":[$C]}}"#,
            r#"{"umount":[{"ok":{"container":$C}}]}"#,
        ),
    ];
    assert_eq!(ok(&["umount", "a"], steps), "unmounted a:0.0.1\n");
}

#[test]
fn inspect_prints_what_can_be_read_back() {
    let text = ok(
        &["inspect", "a:0.0.1"],
        vec![inspected("a:0.0.1", true, true)],
    );
    let data: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(data["manifest"]["init"], "/a");
    assert_eq!(data["process"]["pid"], 42);
}

#[test]
fn install_sends_the_file() {
    let install = |repository: &str| {
        let request = format!(r#"{{"install":{{"repository":"{repository}","size":7}}}}"#);
        Step::Install(
            request,
            b"package",
            r#"{"install":{"ok":{"container":$C}}}"#,
        )
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npk");
    std::fs::write(&path, b"package").unwrap();
    let path = path.to_str().unwrap();

    assert_eq!(
        ok(&["install", path, "r"], vec![install("r")]),
        "installed a:0.0.1 in r\n"
    );
    for (repositories, chosen) in [
        (r#"{"repositories":["only"]}"#, "only"),
        (r#"{"repositories":["memory","default"]}"#, "default"),
    ] {
        let steps = vec![
            Step::Answer(r#""repositories""#, repositories),
            install(chosen),
        ];
        assert_eq!(
            ok(&["install", path], steps),
            format!("installed a:0.0.1 in {chosen}\n")
        );
    }
}

#[test]
fn uninstall_and_wipe() {
    let steps = |wipe: bool| {
        let request = format!(r#"{{"uninstall":{{"container":$C,"wipe":{wipe}}}}}"#);
        vec![Step::Answer(
            request.leak(),
            r#"{"uninstall":{"ok":{"container":$C}}}"#,
        )]
    };
    assert_eq!(
        ok(&["uninstall", "a:0.0.1"], steps(false)),
        "uninstalled a:0.0.1\n"
    );
    assert_eq!(
        ok(&["uninstall", "-w", "a:0.0.1"], steps(true)),
        "uninstalled a:0.0.1\n"
    );
}

#[test]
fn ident_and_shutdown() {
    let steps = vec![Step::Answer(r#""ident""#, r#"{"ident":"extern:0.0.0"}"#)];
    assert_eq!(ok(&["ident"], steps), "extern:0.0.0\n");
    let steps = vec![Step::Answer(r#""shutdown""#, r#""shutdown""#)];
    assert_eq!(ok(&["shutdown"], steps), "the daemon is shutting down\n");
}

#[test]
fn notifications_by_number_and_until_the_end_of_the_daemon() {
    let steps = || {
        vec![
            Step::Say(r#"{"notification":{"started":$C}}"#),
            Step::Say(r#"{"notification":{"exit":[$C,{"signalled":{"signal":9}}]}}"#),
            Step::Say(r#"{"notification":"shutdown"}"#),
        ]
    };
    let text = "started a:0.0.1\nexit a:0.0.1 signal 9 (SIGKILL)\n";
    assert_eq!(ok(&["notifications", "-n", "2"], steps()), text);
    assert_eq!(ok(&["notifications"], steps()), format!("{text}shutdown\n"));
    let json = "{\"notification\":{\"started\":\"a:0.0.1\"}}\n";
    assert_eq!(ok(&["-j", "notifications", "-n", "1"], steps()), json);
}

#[test]
fn install_several_and_from_the_standard_input() {
    let install = |container: &'static str| {
        Step::Install(
            r#"{"install":{"repository":"default","size":7}}"#.to_owned(),
            b"package",
            format!(r#"{{"install":{{"ok":{{"container":{container}}}}}}}"#).leak(),
        )
    };
    let dir = tempfile::tempdir().unwrap();
    let paths = ["a.npk", "b.npk"].map(|name| {
        let path = dir.path().join(name);
        std::fs::write(&path, b"package").unwrap();
        path.to_str().unwrap().to_owned()
    });
    // Two files are two packages.
    let steps = vec![
        Step::Answer(r#""repositories""#, r#"{"repositories":["m","default"]}"#),
        install("$C"),
        install("$D"),
    ];
    let text = "installed a:0.0.1 in default\ninstalled a:0.0.2 in default\n";
    assert_eq!(ok(&["install", &paths[0], &paths[1]], steps), text);

    // A directory is no package.
    std::fs::create_dir(dir.path().join("default")).unwrap();
    let daemon = Daemon::new(vec![install("$C")]);
    let output = daemon
        .nstar(&["install", "a.npk", "default"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    let output = daemon.finish(output);
    assert_eq!(stdout(&output), "installed a:0.0.1 in default\n");

    let steps = vec![install("$C")];
    let output = Daemon::new(steps).run_with_input(&["install", "-", "-r", "default"], b"package");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(stdout(&output), "installed a:0.0.1 in default\n");
}

#[test]
fn uninstall_by_pattern_takes_every_version() {
    let uninstall = |container: &str| {
        Step::Answer(
            format!(r#"{{"uninstall":{{"container":{container},"wipe":false}}}}"#).leak(),
            format!(r#"{{"uninstall":{{"ok":{{"container":{container}}}}}}}"#).leak(),
        )
    };
    let steps = vec![LIST, uninstall("$C"), uninstall("$D")];
    assert_eq!(
        ok(&["uninstall", "a*"], steps),
        "uninstalled a:0.0.1\nuninstalled a:0.0.2\n"
    );
}

#[test]
fn tokens_are_created_and_verified() {
    let token = format!("{}==", "A".repeat(54));
    let answer = format!(r#"{{"token":"{token}"}}"#);
    let answer: &'static str = answer.leak();
    let request = r#"{"token_create":{"target":"b","shared":"eA=="}}"#;
    let steps = || vec![Step::Answer(request, answer)];
    assert_eq!(ok(&["token", "b", "x"], steps()), format!("{token}\n"));
    let output = Daemon::new(steps()).run_with_input(&["token", "b", "-"], b"x\n");
    assert_eq!(stdout(&output), format!("{token}\n"), "{output:?}");

    let request = format!(r#"{{"token_verify":{{"token":"{token}","user":"b","shared":"eA=="}}}}"#);
    let steps = vec![Step::Answer(
        request.leak(),
        r#"{"token_verification":"Ok"}"#,
    )];
    assert_eq!(ok(&["verify-token", &token, "b", "x"], steps), "ok\n");
}

#[test]
fn notifications_by_kind_and_container() {
    let steps = || {
        vec![
            Step::Say(r#"{"notification":{"started":"app:1.0.0"}}"#),
            Step::Say(r#"{"notification":{"started":$C}}"#),
            Step::Say(r#"{"notification":{"exit":["app:1.0.0",{"exit":{"code":0}}]}}"#),
            Step::Say(r#"{"notification":{"exit":[$C,{"exit":{"code":1}}]}}"#),
            Step::Say(r#"{"notification":"shutdown"}"#),
        ]
    };
    assert_eq!(
        ok(&["events", "ap*"], steps()),
        "started app:1.0.0\nexit app:1.0.0 code 0\n"
    );
    assert_eq!(
        ok(&["events", "--kind", "exit", "-k", "shutdown"], steps()),
        "exit app:1.0.0 code 0\nexit a:0.0.1 code 1\nshutdown\n"
    );
    assert_eq!(
        ok(&["events", "a", "-n", "1"], steps()),
        "started a:0.0.1\n"
    );
}

#[test]
fn colour_only_where_it_is_wanted() {
    let steps = || {
        vec![
            Step::Answer(r#""list""#, r#"{"list":[$C]}"#),
            inspected("a:0.0.1", true, true),
        ]
    };
    assert!(!ok(&["list"], steps()).contains('\x1b'));
    assert!(ok(&["list", "--color", "always"], steps()).contains("\x1b["));
}
