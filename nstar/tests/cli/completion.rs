//! What shells offer, through the scripts that `nstar completion` prints.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::Path,
    process::{Command, Output},
};

use crate::daemon::{Daemon, LIST, Step, stdout};

/// A program that finds nstar, and the daemon if it is `daemon`.
fn shell(daemon: &Daemon, program: &str, home: &Path) -> Command {
    let nstar = Path::new(env!("CARGO_BIN_EXE_nstar"));
    let path = format!("{}:/usr/bin:/bin", nstar.parent().unwrap().display());
    let url = format!("unix://{}/console", daemon.dir.path().display());
    // A shell that does not answer must not make the test wait for ever.
    let mut command = Command::new("timeout");
    command
        .args(["60", program])
        .env_clear()
        .env("PATH", path)
        .env("HOME", home)
        .env("TERM", "dumb")
        .env("NSTAR_URL", url);
    command
}

fn lines(output: &Output) -> Vec<String> {
    assert!(output.status.success(), "{output:?}");
    let lines = stdout(output).lines();
    lines.map(|line| line.trim().to_owned()).collect()
}

/// What bash offers for the last of these words.
fn bash(daemon: Daemon, words: &[&str]) -> Vec<String> {
    let script = r#"
        source <(nstar completion bash)
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_TYPE=9
        _clap_complete_nstar nstar "${COMP_WORDS[COMP_CWORD]}" 2> /dev/null
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let home = tempfile::tempdir().unwrap();
    let output = shell(&daemon, "bash", home.path())
        .args(["-c", script, "bash"])
        .args(words)
        .output()
        .unwrap();
    let lines = lines(&output);
    daemon.end();
    lines
}

/// What fish offers at the end of a line, without the descriptions.
fn fish(daemon: Daemon, line: &str) -> Vec<String> {
    let script = r#"
        mkdir -p ~/.config/fish/completions
        nstar completion fish > ~/.config/fish/completions/nstar.fish
        complete --do-complete "$argv[1]"
    "#;
    let home = tempfile::tempdir().unwrap();
    let output = shell(&daemon, "fish", home.path())
        .args(["--private", "-c", script, line])
        .output()
        .unwrap();
    let offered = lines(&output).into_iter();
    daemon.end();
    let word = |line: String| line.split('\t').next().unwrap().to_owned();
    offered.map(word).collect()
}

/// How zsh gets at the script.
#[derive(Clone, Copy, Debug)]
enum Loaded {
    /// By `source`.
    Sourced,
    /// As the file `_nstar` of a directory in `fpath`.
    Autoloaded,
}

/// What zsh makes of a line when the tabulator is typed behind it.
fn zsh(daemon: Daemon, loaded: Loaded, line: &str) -> String {
    // A terminal with a second zsh. As soon as it edits a line it completes it, and reports what it is then.
    let script = r#"
        zmodload zsh/zpty
        mkdir ~/functions
        mkfifo ~/report
        export load="$1" line="$2"
        zpty shell zsh -f -i
        zpty -w shell 'fpath=(~/functions $fpath)
            autoload -U compinit
            eval "$load"
            zle-line-init() {
                BUFFER="$line" CURSOR="${#line}"
                zle complete-word
                print -r -- "$BUFFER" > ~/report
            }
            zle -N zle-line-init'
        read -r completed < ~/report
        print -r -- "$completed"
        zpty -d shell
    "#;
    let load = match loaded {
        Loaded::Sourced => "compinit -u -D; source <(nstar completion zsh)",
        Loaded::Autoloaded => "nstar completion zsh > ~/functions/_nstar; compinit -u -D",
    };
    let home = tempfile::tempdir().unwrap();
    let output = shell(&daemon, "zsh", home.path())
        .args(["-f", "-c", script, "zsh", load, line])
        .output()
        .unwrap();
    let lines = lines(&output);
    daemon.end();
    lines.concat()
}

/// Daemons for one question each, or for none.
fn list() -> Daemon {
    Daemon::new(vec![LIST])
}

fn repositories() -> Daemon {
    Daemon::new(vec![Step::Answer(
        r#""repositories""#,
        r#"{"repositories":["default"]}"#,
    )])
}

#[test]
fn bash_completes_verbs_options_and_names() {
    // Names come before options.
    let offered = bash(list(), &["nstar", "stop", ""]);
    assert_eq!(offered[..2], ["a", "b"], "{offered:?}");
    assert_eq!(bash(list(), &["nstar", "kill", "-9", "a"]), ["a"]);
    let offered = bash(repositories(), &["nstar", "install", "-r", "d"]);
    assert_eq!(offered, ["default"]);
    assert_eq!(bash(Daemon::unused(), &["nstar", "unin"]), ["uninstall"]);
    let offered = bash(Daemon::unused(), &["nstar", "stop", "--gr"]);
    assert_eq!(offered, ["--grace"]);
}

/// Files may be called anything.
#[test]
fn words_that_are_no_text_do_not_end_completion() {
    let daemon = repositories();
    let home = tempfile::tempdir().unwrap();
    let output = shell(&daemon, "nstar", home.path())
        .env("NSTAR_COMPLETE", "fish")
        .args(["--", "nstar", "install"])
        .arg(OsStr::from_bytes(b"\xff.npk"))
        .args(["-r", "d"])
        .output()
        .unwrap();
    assert_eq!(lines(&output), ["default"], "{output:?}");
    daemon.end();
}

#[test]
fn fish_completes_verbs_options_and_names() {
    let offered = fish(list(), "nstar stop ");
    assert_eq!(offered[..2], ["a", "b"], "{offered:?}");
    assert_eq!(fish(list(), "nstar kill -9 a"), ["a"]);
    assert_eq!(fish(list(), "nstar stop a:"), ["a:0.0.1", "a:0.0.2"]);
    assert_eq!(fish(repositories(), "nstar install -r d"), ["default"]);
    assert_eq!(fish(Daemon::unused(), "nstar unin"), ["uninstall"]);
    assert_eq!(fish(Daemon::unused(), "nstar stop --gr"), ["--grace"]);
}

#[test]
fn zsh_completes_verbs_options_and_names() {
    for loaded in [Loaded::Sourced, Loaded::Autoloaded] {
        let complete = |daemon, line| zsh(daemon, loaded, line);
        assert_eq!(
            complete(list(), "nstar stop b"),
            "nstar stop b",
            "{loaded:?}"
        );
        assert_eq!(
            complete(list(), "nstar kill -9 b:"),
            "nstar kill -9 b:1.0.0"
        );
        assert_eq!(
            complete(repositories(), "nstar install -r d"),
            "nstar install -r default"
        );
        let idle = Daemon::unused();
        assert_eq!(complete(idle, "nstar unin"), "nstar uninstall");
        let idle = Daemon::unused();
        assert_eq!(complete(idle, "nstar stop --gr"), "nstar stop --grace");
    }
}
