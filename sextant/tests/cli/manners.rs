//! What holds for every command: help, pipes, terminals.

use std::fs::{self, File};
use std::io::Read;
use std::process::Stdio;

use nix::pty::{Winsize, openpty};

use crate::support::Sextant;

const COMMANDS: [&str; 12] = [
    "attach-signature",
    "completion",
    "digest",
    "gen-key",
    "inspect",
    "man",
    "pack",
    "resign",
    "schema",
    "sign",
    "unpack",
    "verify",
];

#[test]
fn a_closed_pipe_is_no_failure() {
    let sextant = Sextant::new();
    for number in 0..3000 {
        let name = format!("root/a-long-name-to-fill-the-pipe-with-{number}");
        fs::write(sextant.path(&name), b"").unwrap();
    }
    sextant.pack(&["--out", "out"]);
    let mut child = sextant
        .command(&["inspect", "out/hello-1.2.3.npk"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(output.stderr, b"");
}

#[test]
fn help_names_every_command() {
    let sextant = Sextant::new();
    let help = sextant.succeeds(&["--help"]);
    for command in COMMANDS {
        assert!(help.contains(command), "{command}");
    }
    assert!(help.contains("Exit status:"), "{help}");
}

#[test]
fn a_wrong_command_line_is_code_2() {
    let sextant = Sextant::new();
    for arguments in [
        &["no-such-command"][..],
        &[],
        &["pack"],
        &["pack", "-m", "manifest.yaml", "-o", "out", "-c", "bzip2"],
        &["pack", "-m", "manifest.yaml", "-o", "out", "--clones", "0"],
        &["verify", "a.npk"],
        &["unpack", "--out", "a"],
        &["unpack", "a.npk", "--npk", "a.npk", "--out", "a"],
    ] {
        let output = sextant.command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(output.stdout, b"");
    }
    assert!(sextant.names("out").is_empty());
}

/// Whoever reads nothing at all has closed the pipe before the first byte.
#[test]
fn a_pipe_that_is_closed_from_the_start_is_no_failure_for_any_command() {
    let sextant = Sextant::new();
    sextant.pack(&["--out", "a.npk"]);
    for arguments in [
        &["--help"][..],
        &["pack", "--help"],
        &["schema"],
        &["completion", "bash"],
        &["digest", "a.npk"],
        &["inspect", "a.npk"],
        &["inspect", "--json", "a.npk"],
        &["pack", "-m", "manifest.yaml", "-o", "b.npk"],
        &["unpack", "a.npk", "--out", "unpacked"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = sextant.command(arguments);
        command.stdout(writer).stderr(Stdio::piped());
        let output = command.spawn().unwrap().wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        // Unpacking warns of the device nodes that it leaves out.
        let is_warning = |line: &str| line.starts_with("warning: ");
        assert!(said.lines().all(is_warning), "{arguments:?}: {said}");
    }
    assert!(sextant.path("b.npk").exists() && sextant.path("unpacked").exists());
}

#[test]
fn progress_is_for_terminals_only() {
    let sextant = Sextant::new();
    let noise: Vec<u8> = (0..4_000_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    fs::write(sextant.path("root/noise"), noise).unwrap();
    sextant.key();
    let pack = [
        "pack",
        "-m",
        "manifest.yaml",
        "-r",
        "root",
        "-k",
        "test.key",
        "-o",
        "a.npk",
    ];
    let output = sextant.command(&pack).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stderr, b"");

    let size = Winsize {
        ws_row: 24,
        ws_col: 80,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let terminal = openpty(&size, None).unwrap();
    let mut child = sextant
        .command(&pack)
        .env("TERM", "xterm")
        .stdout(Stdio::piped())
        .stderr(terminal.slave)
        .spawn()
        .unwrap();
    let mut shown = Vec::new();
    // A terminal whose other side is closed ends with EIO.
    let _ = File::from(terminal.master).read_to_end(&mut shown);
    assert!(child.wait().unwrap().success());
    let shown = String::from_utf8_lossy(&shown);
    assert!(shown.contains("the image"), "{shown}");
    let mut printed = String::new();
    child.stdout.unwrap().read_to_string(&mut printed).unwrap();
    assert_eq!(printed, "a.npk\n");
}

#[test]
fn no_color_is_obeyed() {
    let sextant = Sextant::new();
    let size = Winsize {
        ws_row: 24,
        ws_col: 80,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let shown = |no_color: &str| {
        let terminal = openpty(&size, None).unwrap();
        let mut command = sextant.command(&["no-such-command"]);
        command
            .env("TERM", "xterm")
            .env("NO_COLOR", no_color)
            .stderr(terminal.slave);
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        drop(command);
        let mut shown = Vec::new();
        let _ = File::from(terminal.master).read_to_end(&mut shown);
        assert_eq!(child.wait().unwrap().code(), Some(2));
        String::from_utf8_lossy(&shown).into_owned()
    };
    let plain = shown("1");
    assert!(
        plain.contains("no-such-command") && !plain.contains('\x1b'),
        "{plain:?}"
    );
    // Empty means not set (https://no-color.org).
    let coloured = shown("");
    assert!(coloured.contains('\x1b'), "{coloured:?}");
}
