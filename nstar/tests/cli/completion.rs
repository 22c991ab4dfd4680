//! What shells offer.

use crate::daemon::{Daemon, LIST, Step, stdout};

/// What bash offers for a line, through the script that `nstar completion bash` prints.
fn completed(daemon: Daemon, words: &[&str]) -> Vec<String> {
    let nstar = std::path::Path::new(env!("CARGO_BIN_EXE_nstar"));
    let path = format!("{}:/usr/bin:/bin", nstar.parent().unwrap().display());
    let url = format!("unix://{}/console", daemon.dir.path().display());
    let script = r#"
        source <(nstar completion bash)
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_TYPE=9
        _clap_complete_nstar nstar "${COMP_WORDS[COMP_CWORD]}" 2> /dev/null
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let output = std::process::Command::new("bash")
        .args(["-c", script, "bash"])
        .args(words)
        .env("PATH", path)
        .env("NSTAR_URL", url)
        .output()
        .unwrap();
    daemon.end();
    stdout(&output)
        .lines()
        .map(|line| line.trim().to_owned())
        .collect()
}

#[test]
fn bash_completes_verbs_options_and_names() {
    let list = || vec![LIST];
    // Names come before options.
    let offered = completed(Daemon::new(list()), &["nstar", "stop", ""]);
    assert_eq!(offered[..2], ["a", "b"], "{offered:?}");
    assert_eq!(
        completed(Daemon::new(list()), &["nstar", "kill", "-9", "a"]),
        ["a"]
    );
    let repositories = vec![Step::Answer(
        r#""repositories""#,
        r#"{"repositories":["default"]}"#,
    )];
    assert_eq!(
        completed(Daemon::new(repositories), &["nstar", "install", "-r", "d"]),
        ["default"]
    );
    let idle = Daemon::unused();
    assert_eq!(completed(idle, &["nstar", "unin"]), ["uninstall"]);
    let idle = Daemon::unused();
    assert_eq!(completed(idle, &["nstar", "stop", "--gr"]), ["--grace"]);
}
