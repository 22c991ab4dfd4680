//! System calls that act on the whole machine, or open up parts of the kernel that few programs need.
//!
//! Arguments are chosen so that a call which is not refused changes nothing: the kernel looks at the privilege first
//! and at the arguments afterwards.

use std::io;

use nix::libc;
use northstar_sys::attempt::{Argument, Entrance, attempt};

use super::{
    Findings,
    call::{Bytes, Number, word},
};

/// No operation of any of these calls.
const NONE: Argument<'static> = Number(0);
const BAD: Argument<'static> = Number(-1);
const NOWHERE: Argument<'static> = Bytes(b"/no/such/file\0");
const ZEROS: Argument<'static> = Bytes(&[0; 256]);

pub fn probe(findings: &mut Findings) -> io::Result<()> {
    machine(findings)?;
    modules(findings)?;
    keys(findings)?;
    subsystems(findings)?;
    harmless(findings)?;
    foreign(findings)
}

fn machine(findings: &mut Findings) -> io::Result<()> {
    // The two magic numbers, and an operation that does not exist, reboot(2).
    let reboot = [
        Number(0xfee1_dead),
        Number(0x2812_1969),
        Number(0x1234_5678),
        NONE,
    ];
    for (name, number, arguments) in [
        ("reboot", libc::SYS_reboot, &reboot[..]),
        ("swapon", libc::SYS_swapon, &[NOWHERE, NONE]),
        ("swapoff", libc::SYS_swapoff, &[NOWHERE]),
        // Neither a time nor a zone.
        ("settimeofday", libc::SYS_settimeofday, &[NONE, NONE]),
        ("clock_settime", libc::SYS_clock_settime, &[NONE, ZEROS]),
        // ADJ_SETOFFSET by nothing.
        ("adjtimex", libc::SYS_adjtimex, &[Bytes(&mode(0x0100))]),
        (
            "sethostname",
            libc::SYS_sethostname,
            &[Bytes(b"escape"), Number(6)],
        ),
        (
            "setdomainname",
            libc::SYS_setdomainname,
            &[Bytes(b"escape"), Number(6)],
        ),
        (
            "syslog.read",
            libc::SYS_syslog,
            &[Number(3), ZEROS, Number(256)],
        ),
        ("syslog.size", libc::SYS_syslog, &[Number(10), NONE, NONE]),
        ("acct", libc::SYS_acct, &[NOWHERE]),
        // Q_GETINFO of user quota.
        (
            "quotactl",
            libc::SYS_quotactl,
            &[Number(0x80_0005 << 8), NOWHERE, NONE, ZEROS],
        ),
        ("vhangup", libc::SYS_vhangup, &[]),
        (
            "kexec_load",
            libc::SYS_kexec_load,
            &[NONE, NONE, NONE, Number(0xffff)],
        ),
        (
            "kexec_file_load",
            libc::SYS_kexec_file_load,
            &[BAD, BAD, NONE, NONE, Number(0xffff)],
        ),
    ] {
        findings.call(&format!("machine.{name}"), number, arguments)?;
    }
    #[cfg(target_arch = "x86_64")]
    for (name, number, arguments) in [
        ("iopl", libc::SYS_iopl, &[Number(3)][..]),
        (
            "ioperm",
            libc::SYS_ioperm,
            &[Number(0x80), Number(1), Number(1)],
        ),
        (
            "modify_ldt",
            libc::SYS_modify_ldt,
            &[NONE, ZEROS, Number(256)],
        ),
    ] {
        findings.call(&format!("machine.{name}"), number, arguments)?;
    }
    Ok(())
}

/// A structure that begins with a mode.
fn mode(mode: u32) -> [u8; 256] {
    let mut bytes = [0; 256];
    bytes[..4].copy_from_slice(&mode.to_ne_bytes());
    bytes
}

fn modules(findings: &mut Findings) -> io::Result<()> {
    for (name, number, arguments) in [
        (
            "init_module",
            libc::SYS_init_module,
            &[ZEROS, Number(256), ZEROS][..],
        ),
        ("finit_module", libc::SYS_finit_module, &[BAD, ZEROS, NONE]),
        (
            "delete_module",
            libc::SYS_delete_module,
            &[Bytes(b"no_such_module\0"), NONE],
        ),
    ] {
        findings.call(&format!("module.{name}"), number, arguments)?;
    }
    Ok(())
}

fn keys(findings: &mut Findings) -> io::Result<()> {
    let session = Number(-3);
    for (name, number, arguments) in [
        // KEYCTL_GET_KEYRING_ID and KEYCTL_DESCRIBE.
        (
            "session_keyring",
            libc::SYS_keyctl,
            &[NONE, session, NONE][..],
        ),
        (
            "describe",
            libc::SYS_keyctl,
            &[Number(6), session, ZEROS, Number(256)],
        ),
        // KEYCTL_GET_PERSISTENT of user 0.
        (
            "persistent_of_root",
            libc::SYS_keyctl,
            &[Number(22), NONE, session],
        ),
        (
            "add_key",
            libc::SYS_add_key,
            &[
                Bytes(b"user\0"),
                Bytes(b"probe\0"),
                Bytes(b"x"),
                Number(1),
                session,
            ],
        ),
        (
            "request_key",
            libc::SYS_request_key,
            &[Bytes(b"user\0"), Bytes(b"northstar:none\0"), NONE, NONE],
        ),
    ] {
        findings.call(&format!("keys.{name}"), number, arguments)?;
    }
    Ok(())
}

fn subsystems(findings: &mut Findings) -> io::Result<()> {
    // BPF_MAP_CREATE of an array with one entry of eight bytes, bpf(2).
    let mut map = [0u8; 128];
    for (offset, value) in [(0, 2u8), (4, 4), (8, 8), (12, 1)] {
        map[offset] = value;
    }
    // A software event of the kernel's own work: PERF_TYPE_SOFTWARE, the size, PERF_COUNT_SW_CPU_CLOCK.
    let mut event = [0u8; 128];
    event[0] = 1;
    event[4] = 128;
    let anybody = [Bytes(&event), BAD, NONE, BAD, NONE];
    let own = [Bytes(&event), NONE, BAD, BAD, NONE];
    for (name, number, arguments) in [
        (
            "bpf.map_create",
            libc::SYS_bpf,
            &[NONE, Bytes(&map), Number(128)][..],
        ),
        (
            "bpf.prog_load",
            libc::SYS_bpf,
            &[Number(5), ZEROS, Number(128)],
        ),
        (
            "io_uring_setup",
            libc::SYS_io_uring_setup,
            &[Number(4), ZEROS],
        ),
        ("userfaultfd", libc::SYS_userfaultfd, &[NONE]),
        ("perf_event_open.cpu", libc::SYS_perf_event_open, &anybody),
        ("perf_event_open.self", libc::SYS_perf_event_open, &own),
        ("fanotify_init", libc::SYS_fanotify_init, &[NONE, NONE]),
        ("pidfd_getfd", libc::SYS_pidfd_getfd, &[BAD, NONE, NONE]),
        (
            "process_madvise",
            libc::SYS_process_madvise,
            &[BAD, ZEROS, NONE, NONE, NONE],
        ),
        (
            "personality.no_randomize",
            libc::SYS_personality,
            &[Number(0x4_0000)],
        ),
        (
            "set_mempolicy",
            libc::SYS_set_mempolicy,
            &[NONE, NONE, NONE],
        ),
        (
            "move_pages",
            libc::SYS_move_pages,
            &[NONE, NONE, NONE, NONE, NONE, NONE],
        ),
        ("unshare.nothing", libc::SYS_unshare, &[NONE]),
        ("vmsplice", libc::SYS_vmsplice, &[BAD, NONE, NONE, NONE]),
        // Of a descriptor that is none; newer than libc's names.
        ("cachestat", 451, &[BAD, ZEROS, ZEROS, NONE]),
        // The attributes of security modules: 2^64 - 1 is none.
        ("lsm_get_self_attr", 459, &[BAD, NONE, ZEROS, NONE]),
        (
            "lookup_dcookie",
            libc::SYS_lookup_dcookie,
            &[NONE, ZEROS, Number(256)],
        ),
    ] {
        findings.call(&format!("call.{name}"), number, arguments)?;
    }
    Ok(())
}

/// What programs need works: a sandbox that refuses everything would be no use.
fn harmless(findings: &mut Findings) -> io::Result<()> {
    for (name, number, arguments) in [
        (
            "memfd_create",
            libc::SYS_memfd_create,
            &[Bytes(b"probe\0"), Number(1)][..],
        ),
        ("eventfd", libc::SYS_eventfd2, &[NONE, NONE]),
        ("timerfd", libc::SYS_timerfd_create, &[NONE, NONE]),
        ("epoll", libc::SYS_epoll_create1, &[NONE]),
        ("inotify", libc::SYS_inotify_init1, &[NONE]),
        ("getrandom", libc::SYS_getrandom, &[ZEROS, Number(16), NONE]),
        // LANDLOCK_CREATE_RULESET_VERSION asks for the version alone.
        (
            "landlock",
            libc::SYS_landlock_create_ruleset,
            &[NONE, NONE, Number(1)],
        ),
        ("unknown", 1000, &[]),
    ] {
        findings.call(&format!("call.{name}"), number, arguments)?;
    }
    Ok(())
}

/// System calls of other architectures that the kernel of this one serves as well.
#[cfg(target_arch = "x86_64")]
fn foreign(findings: &mut Findings) -> io::Result<()> {
    // X32_SYSCALL_BIT and getpid.
    findings.call("foreign.x32", 0x4000_0000 | libc::SYS_getpid, &[])?;
    // getpid of i386.
    let outcome = attempt(20, &[], Entrance::Interrupt80).map_err(io::Error::other)?;
    findings.note("foreign.i386", word(outcome));
    Ok(())
}

#[cfg(not(target_arch = "x86_64"))]
fn foreign(_findings: &mut Findings) -> io::Result<()> {
    Ok(())
}
