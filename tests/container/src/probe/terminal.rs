//! No terminal of anybody else, and no way to type into one.

use std::{fs::File, io, io::IsTerminal};

use nix::libc;

use super::{
    Findings,
    call::{Bytes, Number},
};

/// Pushes a byte into the input of a terminal, ioctl_tty(2).
const TIOCSTI: i64 = libc::TIOCSTI as i64;
/// Pastes and more, on the console, ioctl_console(2).
const TIOCLINUX: i64 = 0x541c;
/// Makes a terminal the controlling one.
const TIOCSCTTY: i64 = libc::TIOCSCTTY as i64;
/// The kernel looks at the low half of the command alone.
const ABOVE: i64 = 1 << 32;

pub fn probe(findings: &mut Findings) -> io::Result<()> {
    findings.note("tty.stdin", io::stdin().is_terminal());
    findings.note("tty.stdout", io::stdout().is_terminal());
    findings.note("tty.stderr", io::stderr().is_terminal());
    findings.attempt("tty.controlling", File::open("/dev/tty"));
    for (name, command) in [
        ("tiocsti", TIOCSTI),
        ("tiocsti_high_bits", TIOCSTI | ABOVE),
        ("tioclinux", TIOCLINUX),
        ("tioclinux_high_bits", TIOCLINUX | ABOVE),
        ("tiocsctty", TIOCSCTTY),
    ] {
        let arguments = [Number(0), Number(command), Bytes(b"x")];
        findings.call(&format!("tty.{name}"), libc::SYS_ioctl, &arguments)?;
    }
    // A terminal of the container's own is allowed: programs need it.
    let own = nix::pty::posix_openpt(nix::fcntl::OFlag::O_RDWR | nix::fcntl::OFlag::O_NOCTTY);
    match own {
        Ok(own) => {
            let name = nix::pty::ptsname_r(&own)?;
            findings.note("tty.own", name);
        }
        Err(errno) => findings.note("tty.own", format!("{errno:?}")),
    }
    Ok(())
}
