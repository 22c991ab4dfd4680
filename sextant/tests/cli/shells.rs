//! Completions, in the shells that they are for (packages `bash`, `fish` and `zsh`).

use std::fs::{self, File};
use std::io::{Read, Write};
use std::process::Command;

use nix::pty::{Winsize, openpty};

use crate::support::Sextant;

/// What is typed, and what comes of it.
const WORDS: [(&str, &str); 4] = [
    ("pac", "pack"),
    ("attach-s", "attach-signature"),
    ("pack --compress", "pack --compression"),
    ("pack --compression zs", "pack --compression zstd"),
];

/// The script for a shell, in a directory of its own.
fn script(shell: &str, name: &str) -> Sextant {
    let sextant = Sextant::new();
    let script = sextant.succeeds(&["completion", shell]);
    fs::create_dir(sextant.path("completions")).unwrap();
    fs::write(sextant.path("completions").join(name), script).unwrap();
    sextant
}

/// Runs a shell that has to be there and to complain of nothing.
fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stderr, b"", "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn bash_completes() {
    let sextant = script("bash", "sextant");
    let complete = "source completions/sextant
        read -ra COMP_WORDS <<< \"sextant $1\"
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _sextant sextant \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"
        printf '%s\\n' \"${COMPREPLY[@]}\"";
    for (typed, expected) in WORDS {
        let mut bash = Command::new("bash");
        bash.current_dir(sextant.path(""))
            .args(["--norc", "-c", complete, "bash", typed]);
        let last = expected.rsplit(' ').next().unwrap();
        assert_eq!(run(&mut bash), format!("{last}\n"), "{typed}");
    }
}

#[test]
fn fish_completes() {
    let sextant = script("fish", "sextant.fish");
    for (typed, expected) in WORDS {
        let mut fish = Command::new("fish");
        fish.current_dir(sextant.path(""))
            .env("HOME", sextant.path("home"));
        let complete = "source completions/sextant.fish; complete --do-complete \"sextant $argv\"";
        fish.args(["--no-config", "--command", complete, typed]);
        let found = run(&mut fish);
        // Each with its description behind a tab.
        let words = found.lines().map(|line| line.split('\t').next().unwrap());
        let last = expected.rsplit(' ').next().unwrap();
        assert_eq!(words.collect::<Vec<_>>(), [last], "{typed}");
    }
}

/// Only an interactive zsh completes, so it gets a terminal, and a command that says what it was called with.
#[test]
fn zsh_completes() {
    let sextant = script("zsh", "_sextant");
    let settings = "fpath=($ZDOTDIR/completions $fpath)
        autoload -Uz compinit
        compinit -u -D
        zstyle ':completion:*' insert-tab false
        unsetopt zle_bracketed_paste prompt_sp
        PS1=
        sextant() { print -r -- \"<$*>\" >> $ZDOTDIR/called }
        ";
    fs::write(sextant.path(".zshrc"), settings).unwrap();
    let size = Winsize {
        ws_row: 24,
        ws_col: 200,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let terminal = openpty(&size, None).unwrap();
    let mut zsh = Command::new("zsh");
    zsh.args(["-d", "-i"])
        .env("ZDOTDIR", sextant.path(""))
        .env("TERM", "dumb");
    zsh.stdin(terminal.slave.try_clone().unwrap());
    zsh.stdout(terminal.slave.try_clone().unwrap())
        .stderr(terminal.slave);
    let mut child = zsh.spawn().expect("zsh");
    drop(zsh);
    let mut keys = File::from(terminal.master.try_clone().unwrap());
    for (typed, _) in WORDS {
        writeln!(keys, "sextant {typed}\t").unwrap();
    }
    keys.write_all(b"exit\n").unwrap();
    let mut shown = Vec::new();
    // A terminal whose other side is closed ends with EIO.
    let _ = File::from(terminal.master).read_to_end(&mut shown);
    let shown = String::from_utf8_lossy(&shown);
    assert!(child.wait().unwrap().success(), "{shown}");
    let called = fs::read_to_string(sextant.path("called")).unwrap_or_default();
    let expected = WORDS.map(|(_, expected)| format!("<{expected}>\n"));
    assert_eq!(called, expected.concat(), "{shown}");
}
