//! Files of procfs and sysfs that tell about the host or act on it.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read},
    os::unix::fs::PermissionsExt,
};

use super::{Findings, outcome};

/// Entries that tell about or act on the host.
const HIDDEN: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/kmsg",
    "/proc/kpagecount",
    "/proc/kpageflags",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/slabinfo",
    "/proc/sysrq-trigger",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/vmallocinfo",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
    "/sys/fs/cgroup",
    "/sys/fs/bpf",
    "/sys/fs/selinux",
    "/sys/kernel/debug",
    "/sys/kernel/security",
    "/sys/kernel/tracing",
    "/sys/kernel/vmcoreinfo",
];

/// Switches of the kernel.
const SWITCHES: &[&str] = &[
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/kernel/randomize_va_space",
    "/proc/sys/kernel/sysrq",
    "/proc/sys/kernel/usermodehelper/bset",
    "/proc/sys/fs/binfmt_misc/register",
    "/proc/sys/fs/suid_dumpable",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/vm/drop_caches",
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/irq/default_smp_affinity",
    "/proc/mtrr",
    "/proc/sysrq-trigger",
    "/sys/kernel/uevent_helper",
    "/sys/kernel/mm/ksm/run",
    "/sys/power/state",
    "/sys/class/net/lo/mtu",
    "/sys/module/kernel/parameters/panic",
];

pub fn probe(findings: &mut Findings) -> io::Result<()> {
    for path in HIDDEN {
        findings.note(format!("hidden.{path}"), content(path));
    }
    findings.note(
        "hidden./sys/devices/system/cpu/*/thermal_throttle",
        of_every_processor("thermal_throttle"),
    );
    for path in SWITCHES {
        // Opening is enough, and a success would change nothing.
        let opened = OpenOptions::new().write(true).open(path);
        findings.attempt(format!("switch.{path}"), opened);
    }
    addresses(findings);
    execution(findings)
}

/// What can be had from a path: how much there is, or the name of the errno.
fn content(path: &str) -> String {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => return super::name(&error),
    };
    if metadata.is_dir() {
        return match fs::read_dir(path).map(Iterator::count) {
            Ok(0) => "empty directory".to_owned(),
            Ok(_) => "directory".to_owned(),
            Err(error) => super::name(&error),
        };
    }
    // Some of these would block at their end.
    let mut byte = [0];
    match fs::File::open(path).and_then(|mut file| file.read(&mut byte)) {
        Ok(0) => "empty file".to_owned(),
        Ok(_) => "content".to_owned(),
        Err(error) => super::name(&error),
    }
}

/// The same of an entry that each processor has: the one that tells the most.
fn of_every_processor(name: &str) -> String {
    let entries = match fs::read_dir("/sys/devices/system/cpu") {
        Ok(entries) => entries,
        Err(error) => return super::name(&error),
    };
    let contents: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().join("topology").is_dir())
        .map(|entry| content(&entry.path().join(name).display().to_string()))
        .collect();
    let told = ["directory", "content", "empty directory", "empty file"];
    told.into_iter()
        .find(|told| contents.iter().any(|content| content == told))
        .map_or_else(
            || contents.first().cloned().unwrap_or_default(),
            str::to_owned,
        )
}

/// Addresses of the kernel are shown as zeros to those who must not know them.
fn addresses(findings: &mut Findings) {
    let symbols = fs::read_to_string("/proc/kallsyms");
    let shown = symbols.map(|text| {
        let hidden = text
            .lines()
            .all(|line| line.starts_with("0000000000000000 "));
        if hidden { "zeros" } else { "addresses" }
    });
    match shown {
        Ok(shown) => findings.note("kernel.symbols", shown),
        Err(error) => findings.note("kernel.symbols", super::name(&error)),
    }
}

/// Where the container can write, and whether it can execute what it has written.
fn execution(findings: &mut Findings) -> io::Result<()> {
    let program = fs::read("/test-container")?;
    for directory in [
        "/", "/dev", "/dev/shm", "/dev/pts", "/proc", "/sys", "/tmp", "/data", "/bind-rw",
        "/bind-ro",
    ] {
        let path = format!("{directory}/program");
        let written = fs::write(&path, &program)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o6755)));
        findings.note(
            format!("write.{directory}"),
            outcome(written.as_ref().map_err(copy)),
        );
        let executed = match &written {
            Ok(()) => outcome(
                std::process::Command::new(&path)
                    .args(["exit", "0"])
                    .output(),
            ),
            Err(_) => "nothing to execute".to_owned(),
        };
        findings.note(format!("execute.{directory}"), executed);
        // Also a part of it, where there is too little room.
        match fs::remove_file(&path) {
            Err(error) if written.is_ok() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn copy(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(
        || io::Error::from(error.kind()),
        io::Error::from_raw_os_error,
    )
}
