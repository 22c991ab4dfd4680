//! The classic ways out of a container. Each command tries one and prints what came of every step.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    process::Command,
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    mount::{MsFlags, mount, umount},
    sched::{CloneFlags, unshare},
    sys::signal::{SigSet, Signal, kill},
    sys::stat::Mode,
    sys::uio::{RemoteIoVec, process_vm_readv},
    unistd::{Pid, chdir, chroot, fchdir, mkdir},
};
use northstar_sys::attempt::{Argument, Entrance, Outcome, attempt};

use crate::{Answer, done, report};

pub fn run(words: &[&str]) -> Answer {
    match words {
        ["chroot-escape"] => chroot_escape()?,
        ["overwrite", paths @ ..] => {
            for path in paths {
                overwrite(path)?;
            }
        }
        ["release-agent"] => release_agent()?,
        ["open-by-handle", directory] => open_by_handle(directory)?,
        ["kill-all"] => kill_all()?,
        ["search-init", patterns @ ..] => search_init(patterns)?,
        ["attach-init"] => {
            step("attach", nix::sys::ptrace::attach(Pid::from_raw(1)));
            crate::wait();
        }
        ["execute", program, arguments @ ..] => {
            let status = Command::new(program).args(arguments).status();
            report(program, status.map(|status| status.to_string()))?;
        }
        ["call-delete-module", name] => delete_module(name)?,
        _ => return Ok(None),
    }
    done()
}

/// Prints the name of a step and `ok` or the name of the errno.
fn step<T>(name: &str, result: nix::Result<T>) {
    match result {
        Ok(_) => println!("{name} ok"),
        Err(errno) => println!("{name} {errno:?}"),
    }
}

/// chroot(2) keeps the working directory: with a descriptor of a directory outside of the new root one can go there,
/// and then up, because `..` stops at the root alone.
fn chroot_escape() -> io::Result<()> {
    let outside = File::open("/")?;
    step("mkdir", mkdir("/tmp/jail", Mode::S_IRWXU));
    step("chroot", chroot("/tmp/jail"));
    step("fchdir", fchdir(&outside));
    for _ in 0..64 {
        // A step too many changes nothing.
        chdir("..")?;
    }
    step("chroot up", chroot("."));
    let mut names: Vec<String> = fs::read_dir(".")?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    println!("root {}", names.join(" "));
    Ok(())
}

/// Opens a program for writing, directly and once more through a descriptor that was opened without any access.
fn overwrite(path: &str) -> io::Result<()> {
    let write = |path: &str| {
        let opened = OpenOptions::new().write(true).open(path);
        opened.and_then(|file| nix::unistd::write(&file, b"overwritten").map_err(io::Error::from))
    };
    report(path, write(path).map(|_| "written".into()))?;
    let truncated = OpenOptions::new().write(true).truncate(true).open(path);
    report(
        &format!("{path} truncate"),
        truncated.map(|_| "truncated".into()),
    )?;
    let held = OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_PATH.bits())
        .open(path);
    let reopened = held.and_then(|held| write(&format!("/proc/self/fd/{}", held.as_raw_fd())));
    report(
        &format!("{path} reopen"),
        reopened.map(|_| "written".into()),
    )
}

/// A hierarchy of control groups whose `release_agent` the kernel would run on the host, first as the user that this
/// is, then as the one who has everything in a user namespace of its own.
fn release_agent() -> io::Result<()> {
    for flags in [
        None,
        Some(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWCGROUP),
    ] {
        if let Some(flags) = flags {
            step("unshare", unshare(flags));
        }
        for (kind, options) in [
            ("cgroup", Some("memory")),
            ("cgroup", Some("rdma")),
            ("cgroup", Some("none,name=escape")),
            ("cgroup2", None),
        ] {
            hierarchy(kind, options)?;
        }
    }
    Ok(())
}

fn hierarchy(kind: &str, options: Option<&str>) -> io::Result<()> {
    let name = format!("{kind} {}", options.unwrap_or("unified"));
    let place = "/tmp";
    let mounted = mount(Some("escape"), place, Some(kind), MsFlags::empty(), options);
    step(&format!("mount {name}"), mounted);
    if mounted.is_ok() {
        for file in ["release_agent", "notify_on_release", "cgroup.procs"] {
            let opened = OpenOptions::new()
                .write(true)
                .open(format!("{place}/{file}"));
            step(
                &format!("write {name} {file}"),
                opened.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0))),
            );
        }
        let made = mkdir("/tmp/group", Mode::S_IRWXU);
        step(&format!("mkdir {name}"), made);
        umount(place)?;
    }
    Ok(())
}

/// Signals to everybody that can be seen, to init among them.
fn kill_all() -> io::Result<()> {
    // It would reach this process as well.
    SigSet::from(Signal::SIGTERM).thread_block()?;
    step("kill -1", kill(Pid::from_raw(-1), Signal::SIGTERM));
    for signal in [
        Signal::SIGKILL,
        Signal::SIGSTOP,
        Signal::SIGTERM,
        Signal::SIGSEGV,
    ] {
        step(&format!("init {signal}"), kill(Pid::from_raw(1), signal));
    }
    let absent = (3..4096).filter(|pid| kill(Pid::from_raw(*pid), None) != Err(Errno::ESRCH));
    println!("others {}", absent.count());
    println!("alive");
    Ok(())
}

/// A handle needs no path: with any descriptor of a file system, its root directory (FILEID_INO32_GEN, inode 2) can be
/// opened.
fn open_by_handle(directory: &str) -> io::Result<()> {
    let directory = File::open(directory)?;
    let mut handle = [0u8; 16];
    (handle[0], handle[4], handle[8]) = (8, 1, 2);
    let arguments = [
        Argument::Number(i64::from(directory.as_raw_fd())),
        Argument::Bytes(&handle),
        Argument::Number(0),
    ];
    let number = nix::libc::SYS_open_by_handle_at;
    let outcome = attempt(number, &arguments, Entrance::Native).map_err(io::Error::other)?;
    match outcome {
        Outcome::Failed(errno) => println!("open_by_handle_at {:?}", Errno::from_raw(errno)),
        other => println!("open_by_handle_at {other:?}"),
    }
    Ok(())
}

/// Looks for each pattern, in hexadecimal digits, in all memory of init that can be read.
fn search_init(patterns: &[&str]) -> io::Result<()> {
    let mut found = vec![false; patterns.len()];
    let patterns: Vec<Vec<u8>> = patterns
        .iter()
        .map(|digits| bytes(digits))
        .collect::<Option<_>>()
        .ok_or_else(|| io::Error::other("a pattern is in hexadecimal digits"))?;
    // Most places are out of the question by their first two bytes.
    let mut begins = vec![Vec::new(); 1 << 16];
    for (number, pattern) in patterns.iter().enumerate() {
        begins[begin(pattern)].push(number);
    }
    for line in fs::read_to_string("/proc/1/maps")?.lines() {
        let range = line
            .split(' ')
            .next()
            .and_then(|range| range.split_once('-'));
        let address = |text| usize::from_str_radix(text, 16).map_err(io::Error::other);
        let (first, last) = range.ok_or_else(|| io::Error::other("a line without a range"))?;
        let (base, end) = (address(first)?, address(last)?);
        let mut memory = vec![0; end - base];
        let remote = [RemoteIoVec {
            base,
            len: memory.len(),
        }];
        // What cannot be read holds nothing for anybody.
        let read = process_vm_readv(
            Pid::from_raw(1),
            &mut [io::IoSliceMut::new(&mut memory)],
            &remote,
        );
        memory.truncate(read.unwrap_or(0));
        for place in 0..memory.len().saturating_sub(1) {
            let rest = &memory[place..];
            for number in &begins[begin(rest)] {
                found[*number] |= rest.starts_with(&patterns[*number]);
            }
        }
    }
    for found in found {
        println!("found {found}");
    }
    Ok(())
}

/// The first two bytes, of which there have to be so many.
fn begin(bytes: &[u8]) -> usize {
    usize::from(u16::from_le_bytes([bytes[0], bytes[1]]))
}

/// The bytes that pairs of hexadecimal digits stand for.
fn bytes(digits: &str) -> Option<Vec<u8>> {
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
        .collect()
}

fn delete_module(name: &str) -> io::Result<()> {
    let name = format!("{name}\0");
    let arguments = [Argument::Bytes(name.as_bytes()), Argument::Number(0)];
    let outcome = attempt(nix::libc::SYS_delete_module, &arguments, Entrance::Native);
    match outcome.map_err(io::Error::other)? {
        Outcome::Failed(errno) => println!("delete_module {:?}", Errno::from_raw(errno)),
        other => println!("delete_module {other:?}"),
    }
    Ok(())
}
