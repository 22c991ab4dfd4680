//! What the program was started with: session, descriptors, environment, limits, scheduling.

use std::{env, fs, io};

use nix::{libc, unistd};

use super::{Findings, call::Number, outcome};

pub fn probe(findings: &mut Findings) -> io::Result<()> {
    session(findings)?;
    descriptors(findings)?;
    environment(findings);
    limits(findings)?;
    scheduling(findings)
}

fn session(findings: &mut Findings) -> io::Result<()> {
    let pid = unistd::getpid();
    findings.note("process.pid", pid);
    findings.note("process.parent", unistd::getppid());
    findings.note("process.session", unistd::getsid(None)?);
    findings.note("process.group", unistd::getpgrp());
    findings.note("process.cwd", env::current_dir()?.display());
    findings.note(
        "process.cwd_link",
        fs::read_link("/proc/self/cwd")?.display(),
    );
    findings.note(
        "process.root_link",
        fs::read_link("/proc/self/root")?.display(),
    );
    findings.note("process.exe", fs::read_link("/proc/self/exe")?.display());
    findings.note(
        "process.comm",
        fs::read_to_string("/proc/self/comm")?.trim_end(),
    );
    findings.note("process.label", label());
    let names: Vec<String> = fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .collect();
    findings.note("process.visible", names.join(","));
    let hostname = unistd::gethostname()?;
    findings.note("process.hostname", hostname.display());
    let groups = fs::read_to_string("/proc/self/cgroup")?;
    let elsewhere = groups.lines().filter(|line| !line.ends_with(":/"));
    findings.note("process.cgroup_elsewhere", elsewhere.count());
    findings.note(
        "process.oom_score_adj",
        fs::read_to_string("/proc/self/oom_score_adj")?.trim_end(),
    );
    Ok(())
}

/// The LSM label of this process, proc_pid_attr(5).
fn label() -> String {
    match fs::read_to_string("/proc/self/attr/current") {
        Ok(label) => label.trim_end_matches(['\n', '\0']).to_owned(),
        Err(error) => super::name(&error),
    }
}

fn descriptors(findings: &mut Findings) -> io::Result<()> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        let target = fs::read_link(entry.path())?.display().to_string();
        // The directory being listed is itself an open descriptor.
        if target.ends_with("/fd") {
            continue;
        }
        let number: i32 = entry
            .file_name()
            .to_string_lossy()
            .parse()
            .map_err(io::Error::other)?;
        numbers.push(number);
        let information = fs::read_to_string(format!("/proc/self/fdinfo/{number}"))?;
        let flags = information
            .lines()
            .find_map(|line| line.strip_prefix("flags:"))
            .and_then(|flags| i32::from_str_radix(flags.trim(), 8).ok())
            .unwrap_or_default();
        let access = match flags & libc::O_ACCMODE {
            libc::O_RDONLY => "read",
            libc::O_WRONLY => "write",
            _ => "read-write",
        };
        // Pipes and sockets have numbers that differ from run to run.
        let kind = target.split(":[").next().unwrap_or_default();
        findings.note(format!("fd.{number}"), format!("{kind} {access}"));
    }
    numbers.sort_unstable();
    let numbers: Vec<String> = numbers.iter().map(i32::to_string).collect();
    findings.note("fd.numbers", numbers.join(","));
    Ok(())
}

fn environment(findings: &mut Findings) {
    let mut names: Vec<String> = env::vars().map(|(name, _)| name).collect();
    names.sort();
    findings.note("environment.names", names.join(","));
    for (name, value) in env::vars() {
        findings.note(format!("environment.{name}"), value);
    }
}

fn limits(findings: &mut Findings) -> io::Result<()> {
    let text = fs::read_to_string("/proc/self/limits")?;
    for line in text.lines().skip(1) {
        // "Max open files            1024                 4096                 files"
        let (name, values) = line.split_once("  ").unwrap_or((line, ""));
        let values: Vec<&str> = values.split_whitespace().take(2).collect();
        findings.note(format!("limit.{name}"), values.join(":"));
    }
    // RLIMIT_NPROC and RLIMIT_NOFILE to no limit, setrlimit(2).
    for (name, kind) in [("nproc", 6), ("nofile", 7), ("memlock", 8)] {
        let unlimited = super::call::Bytes(&[0xff; 16]);
        let check = format!("lift_limit.{name}");
        findings.call(
            &check,
            libc::SYS_prlimit64,
            &[Number(0), Number(kind), unlimited, Number(0)],
        )?;
    }
    Ok(())
}

fn scheduling(findings: &mut Findings) -> io::Result<()> {
    // stat(5): 18 is the priority, 19 the nice value, 41 the policy, counted from 1; the name is the second.
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat
        .rsplit_once(") ")
        .map_or("", |(_, rest)| rest)
        .split(' ')
        .collect();
    let field = |number: usize| fields.get(number - 3).copied().unwrap_or("absent");
    findings.note("sched.nice", field(19));
    findings.note("sched.policy", field(41));
    let lower = [Number(0), Number(0), Number(-10)];
    findings.call("sched.raise_priority", libc::SYS_setpriority, &lower)?;
    // SCHED_FIFO with priority 1.
    let fifo = [Number(0), Number(1), super::call::Bytes(&[1, 0, 0, 0])];
    findings.call("sched.fifo", libc::SYS_sched_setscheduler, &fifo)?;
    // IOPRIO_WHO_PROCESS, the class for real time.
    findings.call(
        "sched.io_real_time",
        libc::SYS_ioprio_set,
        &[Number(1), Number(0), Number(1 << 13)],
    )?;
    let lowered = fs::write("/proc/self/oom_score_adj", "-1000");
    findings.note("process.oom_score_adj.lower", outcome(lowered));
    Ok(())
}
