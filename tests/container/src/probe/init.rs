//! Init, process 1: closed to the container, whatever way is taken.

use std::{fs, io};

use super::{
    Findings,
    call::{Bytes, Number},
};
use nix::{
    libc,
    sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev},
    unistd::Pid,
};

/// Files of `/proc/1` that only a tracer may read, proc(5).
const FILES: &[&str] = &[
    "auxv",
    "environ",
    "io",
    "maps",
    "mem",
    "pagemap",
    "personality",
    "smaps",
    "stack",
    "syscall",
];
/// Links of `/proc/1` that lead to what it has open.
const LINKS: &[&str] = &["cwd", "exe", "root"];
const DIRECTORIES: &[&str] = &["cwd", "fd", "map_files", "ns", "root", "task/1/fd"];

/// PTRACE_SEIZE, which unlike PTRACE_ATTACH does not stop who is traced, ptrace(2).
const SEIZE: i64 = 0x4206;

pub fn probe(findings: &mut Findings) -> io::Result<()> {
    for file in FILES {
        // A file may open and refuse to be read.
        let read = fs::File::open(format!("/proc/1/{file}"))
            .and_then(|mut file| io::Read::read(&mut file, &mut [0]));
        findings.attempt(format!("init.{file}"), read);
    }
    for link in LINKS {
        let target = fs::read_link(format!("/proc/1/{link}"));
        let target = target.map_or_else(
            |error| super::name(&error),
            |target| target.display().to_string(),
        );
        findings.note(format!("init.{link}"), target);
    }
    for directory in DIRECTORIES {
        let listed = fs::read_dir(format!("/proc/1/{directory}"));
        let first = listed.and_then(|mut entries| entries.next().transpose());
        findings.attempt(format!("init.list.{directory}"), first);
    }
    findings.attempt("init.exe.open", fs::File::open("/proc/1/exe"));
    findings.attempt(
        "init.exe.write",
        fs::OpenOptions::new().write(true).open("/proc/1/exe"),
    );
    findings.note("init.name", fs::read_to_string("/proc/1/comm")?.trim_end());
    let status = fs::read_to_string("/proc/1/status")?;
    for key in ["Uid", "CapPrm", "CapEff", "CapBnd", "Seccomp", "NoNewPrivs"] {
        let value = status
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let value = value
            .unwrap_or("absent")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        findings.note(format!("init.status.{key}"), value);
    }
    traced(findings)?;
    signalled(findings)?;
    changed(findings)
}

fn traced(findings: &mut Findings) -> io::Result<()> {
    let seize = [Number(SEIZE), Number(1), Number(0), Number(0)];
    findings.call("init.ptrace", libc::SYS_ptrace, &seize)?;
    findings.call("ptrace.be_traced", libc::SYS_ptrace, &[Number(0); 4])?;
    let remote = [RemoteIoVec {
        base: 0x1000,
        len: 1,
    }];
    let init = Pid::from_raw(1);
    let mut byte = [0];
    let read = process_vm_readv(init, &mut [io::IoSliceMut::new(&mut byte)], &remote);
    findings.attempt("init.process_vm_readv", read);
    let written = process_vm_writev(init, &[io::IoSlice::new(&byte)], &remote);
    findings.attempt("init.process_vm_writev", written);
    let own = Number(i64::from(nix::unistd::getpid().as_raw()));
    let compared = [Number(1), own, Number(0), Number(0), Number(0)];
    findings.call("init.kcmp", libc::SYS_kcmp, &compared)?;
    findings.call(
        "init.get_robust_list",
        libc::SYS_get_robust_list,
        &[Number(1), Bytes(&[0; 8]), Bytes(&[0; 8])],
    )
}

fn signalled(findings: &mut Findings) -> io::Result<()> {
    for (name, signal) in [
        ("probe", 0),
        ("term", 15),
        ("kill", 9),
        ("stop", 19),
        ("segv", 11),
    ] {
        let arguments = [Number(1), Number(signal)];
        findings.call(&format!("init.signal.{name}"), libc::SYS_kill, &arguments)?;
    }
    findings.call(
        "init.signal.thread",
        libc::SYS_tkill,
        &[Number(1), Number(9)],
    )?;
    findings.call(
        "init.pidfd_open",
        libc::SYS_pidfd_open,
        &[Number(1), Number(0)],
    )?;
    // Signal 0 changes nothing and tells whether anybody could be reached; the probe itself can.
    findings.call("signal.everybody", libc::SYS_kill, &[Number(-1), Number(0)])
}

/// Attributes of a process that others may change if they have the right.
fn changed(findings: &mut Findings) -> io::Result<()> {
    let one = Number(1);
    let zero = Number(0);
    findings.call(
        "init.prlimit",
        libc::SYS_prlimit64,
        &[one, Number(7), Bytes(&[0; 16]), zero],
    )?;
    findings.call(
        "init.setpriority",
        libc::SYS_setpriority,
        &[zero, one, Number(5)],
    )?;
    findings.call(
        "init.sched_setaffinity",
        libc::SYS_sched_setaffinity,
        &[one, Number(8), Bytes(&[0xff; 8])],
    )?;
    // SCHED_BATCH.
    findings.call(
        "init.sched_setscheduler",
        libc::SYS_sched_setscheduler,
        &[one, Number(3), Bytes(&[0; 4])],
    )?;
    findings.call(
        "init.ioprio_set",
        libc::SYS_ioprio_set,
        &[one, one, Number(2 << 13)],
    )?;
    findings.call("init.setpgid", libc::SYS_setpgid, &[one, one])?;
    findings.call(
        "init.migrate_pages",
        libc::SYS_migrate_pages,
        &[
            one,
            Number(64),
            Bytes(&[1, 0, 0, 0, 0, 0, 0, 0]),
            Bytes(&[1, 0, 0, 0, 0, 0, 0, 0]),
        ],
    )?;
    findings.attempt(
        "init.oom_score_adj",
        fs::write("/proc/1/oom_score_adj", "1000"),
    );
    findings.attempt("init.comm.write", fs::write("/proc/1/comm", "x"));
    Ok(())
}
