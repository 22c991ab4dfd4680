//! Who the container is: ids, capabilities, securebits, namespaces, and whether it can become somebody else.

use std::{fs, io};

use nix::libc;
use northstar_sys::attempt::{Entrance, Outcome, attempt};

use super::{
    Findings,
    call::{Bytes, Number, word},
};

/// Namespaces of a process, namespaces(7).
const NAMESPACES: &[&str] = &[
    "cgroup",
    "ipc",
    "mnt",
    "net",
    "pid",
    "pid_for_children",
    "time",
    "user",
    "uts",
];

/// Flags of unshare(2) by the name of the namespace.
const UNSHARE: &[(&str, i32)] = &[
    ("cgroup", libc::CLONE_NEWCGROUP),
    ("ipc", libc::CLONE_NEWIPC),
    ("mnt", libc::CLONE_NEWNS),
    ("net", libc::CLONE_NEWNET),
    ("pid", libc::CLONE_NEWPID),
    ("time", 0x80),
    ("user", libc::CLONE_NEWUSER),
    ("uts", libc::CLONE_NEWUTS),
];

pub fn probe(findings: &mut Findings) -> io::Result<()> {
    status(findings)?;
    namespaces(findings)?;
    escalation(findings)
}

/// Lines of `/proc/self/status`, proc(5).
fn status(findings: &mut Findings) -> io::Result<()> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = |key: &str| {
        let found = status
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        found.map_or("absent".to_owned(), |value| {
            value.split_whitespace().collect::<Vec<_>>().join(" ")
        })
    };
    for (check, key) in [
        ("id.uid", "Uid"),
        ("id.gid", "Gid"),
        ("id.groups", "Groups"),
        ("cap.inheritable", "CapInh"),
        ("cap.permitted", "CapPrm"),
        ("cap.effective", "CapEff"),
        ("cap.bounding", "CapBnd"),
        ("cap.ambient", "CapAmb"),
        ("process.no_new_privs", "NoNewPrivs"),
        ("process.seccomp", "Seccomp"),
        ("process.umask", "Umask"),
        ("process.tracer", "TracerPid"),
        ("process.threads", "Threads"),
        ("signals.blocked", "SigBlk"),
        ("signals.ignored", "SigIgn"),
    ] {
        findings.note(check, line(key));
    }
    let filters = line("Seccomp_filters");
    findings.note("process.seccomp_filters", filters);
    // PR_GET_SECUREBITS: NOROOT, NO_SETUID_FIXUP, NO_CAP_AMBIENT_RAISE.. with their locks, capabilities(7).
    let arguments = [Number(i64::from(libc::PR_GET_SECUREBITS))];
    let securebits = attempt(libc::SYS_prctl, &arguments, Entrance::Native);
    let securebits = match securebits.map_err(io::Error::other)? {
        Outcome::Returned(bits) => format!("{bits:#x}"),
        other => word(other),
    };
    findings.note("cap.securebits", securebits);
    findings.note("process.dumpable", nix::sys::prctl::get_dumpable()?);
    findings.note("process.keepcaps", nix::sys::prctl::get_keepcaps()?);
    Ok(())
}

fn namespaces(findings: &mut Findings) -> io::Result<()> {
    for namespace in NAMESPACES {
        let link = fs::read_link(format!("/proc/self/ns/{namespace}"))?;
        findings.note(format!("ns.{namespace}"), link.display());
        let of_init = fs::read_link(format!("/proc/1/ns/{namespace}"));
        findings.attempt(format!("ns.{namespace}.of_init"), of_init);
    }
    for (namespace, flag) in UNSHARE {
        let check = format!("ns.{namespace}.unshare");
        findings.call(&check, libc::SYS_unshare, &[Number(i64::from(*flag))])?;
    }
    // setns(2) takes a pidfd too; this one is of the process itself.
    let own = fs::File::open("/proc/self/ns/mnt")?;
    let own = Number(i64::from(std::os::fd::AsRawFd::as_raw_fd(&own)));
    findings.call("ns.mnt.setns", libc::SYS_setns, &[own, Number(0)])?;
    let clone = [Number(i64::from(libc::CLONE_NEWUSER | libc::SIGCHLD))];
    findings.call("ns.user.clone", libc::SYS_clone, &clone)?;
    let mut arguments = [0u8; 88];
    arguments[..4].copy_from_slice(&libc::CLONE_NEWUSER.to_ne_bytes());
    findings.call(
        "ns.user.clone3",
        libc::SYS_clone3,
        &[Bytes(&arguments), Number(88)],
    )
}

fn escalation(findings: &mut Findings) -> io::Result<()> {
    let zero = [Number(0)];
    findings.call("become.uid_0", libc::SYS_setuid, &zero)?;
    findings.call("become.gid_0", libc::SYS_setgid, &zero)?;
    findings.call(
        "become.resuid_0",
        libc::SYS_setresuid,
        &[Number(0), Number(0), Number(0)],
    )?;
    findings.call(
        "become.resgid_0",
        libc::SYS_setresgid,
        &[Number(0), Number(0), Number(0)],
    )?;
    findings.call(
        "become.groups",
        libc::SYS_setgroups,
        &[Number(1), Bytes(&[0; 4])],
    )?;
    // _LINUX_CAPABILITY_VERSION_3 of this process, and all bits of effective, permitted, inheritable, twice.
    let mut header = [0u8; 8];
    header[..4].copy_from_slice(&0x2008_0522u32.to_ne_bytes());
    findings.call(
        "become.capset_all",
        libc::SYS_capset,
        &[Bytes(&header), Bytes(&[0xff; 24])],
    )?;
    let ambient = [
        Number(i64::from(libc::PR_CAP_AMBIENT)),
        Number(i64::from(libc::PR_CAP_AMBIENT_RAISE)),
        // CAP_SYS_ADMIN.
        Number(21),
        Number(0),
        Number(0),
    ];
    findings.call("become.ambient_sys_admin", libc::SYS_prctl, &ambient)?;
    let securebits = [Number(i64::from(libc::PR_SET_SECUREBITS)), Number(0)];
    findings.call("become.securebits_0", libc::SYS_prctl, &securebits)?;
    let privileges = [
        Number(i64::from(libc::PR_SET_NO_NEW_PRIVS)),
        Number(0),
        Number(0),
        Number(0),
        Number(0),
    ];
    findings.call("become.new_privileges", libc::SYS_prctl, &privileges)?;
    for map in ["uid_map", "gid_map", "setgroups"] {
        let opened = fs::OpenOptions::new()
            .write(true)
            .open(format!("/proc/self/{map}"));
        findings.attempt(format!("become.{map}"), opened);
    }
    Ok(())
}
