//! The classic ways out of a container. Each command tries one and prints what came of every step.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    path::Path,
    process::Command,
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    mount::{MsFlags, mount},
    sys::signal::{SigSet, Signal, kill},
    unistd::{Pid, chroot, fchdir},
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
        ["kill-all"] => kill_all()?,
        ["attach-init"] => {
            step("attach", nix::sys::ptrace::attach(Pid::from_raw(1)));
            crate::wait();
        }
        ["execute", program] => {
            let status = Command::new(program).status();
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
    for round in ["once", "with a new mount namespace"] {
        if round != "once" {
            let flags = nix::sched::CloneFlags::CLONE_NEWNS;
            step("unshare", nix::sched::unshare(flags));
        }
        let outside = File::open("/")?;
        step(
            "mkdir",
            nix::unistd::mkdir("/tmp/jail", nix::sys::stat::Mode::S_IRWXU),
        );
        step("chroot", chroot("/tmp/jail"));
        step("fchdir", fchdir(&outside));
        for _ in 0..64 {
            // A step too many changes nothing.
            let _ = nix::unistd::chdir("..");
        }
        step("chroot up", chroot("."));
        step("chdir", nix::unistd::chdir("/"));
        for canary in ["/etc/os-release", "/host-canary", "/tmp/host-canary"] {
            println!(
                "{canary} {}",
                if Path::new(canary).exists() {
                    "found"
                } else {
                    "absent"
                }
            );
        }
        let mut names: Vec<String> = fs::read_dir("/")?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort();
        println!("root {}", names.join(" "));
    }
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

/// A hierarchy of control groups whose `release_agent` the kernel would run on the host.
fn release_agent() -> io::Result<()> {
    for (kind, options) in [
        ("cgroup", Some("memory")),
        ("cgroup", Some("rdma")),
        ("cgroup", Some("none,name=escape")),
        ("cgroup2", None),
    ] {
        let name = format!("{kind} {}", options.unwrap_or("unified"));
        let place = "/tmp";
        let mounted = mount(Some("escape"), place, Some(kind), MsFlags::empty(), options);
        step(&format!("mount {name}"), mounted);
        if mounted.is_ok() {
            for file in ["release_agent", "notify_on_release", "cgroup.procs"] {
                let written = fs::write(format!("{place}/{file}"), "/tmp/agent");
                report(
                    &format!("{name} {file}"),
                    written.map(|()| "written".into()),
                )?;
            }
            step(&format!("umount {name}"), nix::mount::umount(place));
        }
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
