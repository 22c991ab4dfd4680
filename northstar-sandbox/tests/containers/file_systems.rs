//! File systems of the container's own: what is in them, what is masked, and how much they hold.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use northstar_sandbox::Step;
use northstar_sandbox::plan::{MountFlags, MountKind, Rlimit, RlimitKind};

use crate::mounts::options;
use crate::support::*;

pub fn image_device_nodes_cannot_be_opened(world: &World) {
    let node = world.root.path().join("null");
    let status = Command::new("mknod")
        .arg("-m666")
        .arg(&node)
        .args(["c", "1", "3"])
        .status();
    assert!(status.unwrap().success());
    let mut plan = program(&["/bin/probe", "open", "/null"]);
    plan.capabilities = capabilities(&["CAP_DAC_OVERRIDE", "CAP_MKNOD"]);
    assert_eq!(world.run(&plan).unwrap().expect_success(), "EACCES\n");
    // The same node on a mount that allows devices can be: the flag makes the difference.
    let mut arm = world.arm_plan();
    arm.root_flags.nodev = false;
    assert_eq!(
        world.run_in(&arm, &[], &plan).unwrap().expect_success(),
        "opened\n"
    );
    fs::remove_file(node).unwrap();
}

pub fn dev_is_our_own(world: &World) {
    let listing = world.shell(
        "cd /dev; stat -c '%n %F %t:%T %a' *; for l in fd stdin stdout stderr ptmx; do readlink $l; done;
         : </dev/null; head -c 4 /dev/zero | wc -c; head -c 4 /dev/urandom | wc -c;
         (: >/dev/full && echo x >/dev/full) 2>/dev/null || echo full;
         touch /dev/x 2>/dev/null || echo not writable; echo shared >/dev/shm/x; cat /dev/shm/x;
         stat -c '%a' /dev/shm",
    );
    let expected = "fd symbolic link 0:0 777
full character special file 1:7 666
null character special file 1:3 666
ptmx symbolic link 0:0 777
pts directory 0:0 755
random character special file 1:8 666
shm directory 0:0 1777
stderr symbolic link 0:0 777
stdin symbolic link 0:0 777
stdout symbolic link 0:0 777
tty character special file 5:0 666
urandom character special file 1:9 666
zero character special file 1:5 666
/proc/self/fd
/proc/self/fd/0
/proc/self/fd/1
/proc/self/fd/2
pts/ptmx
4
4
full
not writable
shared
1777
";
    assert_eq!(listing, expected);
    // No terminal is attached, and the pseudo terminals are the container's own.
    let open = |path: &str| {
        world
            .run(&program(&["/bin/probe", "open", path]))
            .unwrap()
            .expect_success()
    };
    assert_eq!(open("/dev/tty"), "ENXIO\n");
    assert_eq!(open("/dev/ptmx"), "opened\n");
    assert_eq!(world.shell("ls /dev/pts"), "ptmx\n");
    let mountinfo = world.shell("cat /proc/self/mountinfo");
    for (target, option) in [
        ("/dev", "noexec"),
        ("/dev", "nosuid"),
        ("/dev/shm", "nodev"),
    ] {
        assert!(
            options(&mountinfo, target).iter().any(|o| o == option),
            "{target} {option}"
        );
    }
}

pub fn proc_is_masked_and_read_only(world: &World) {
    let mut plan = shell(
        "for f in interrupts kcore keys timer_list sched_debug sysrq-trigger; do
             [ -e /proc/$f ] && echo $f $(cat /proc/$f 2>&1 | wc -c); done
         for d in acpi scsi; do [ -e /proc/$d ] && echo $d $(ls /proc/$d | wc -l); done
         (echo x >/proc/sys/kernel/core_pattern) 2>/dev/null || echo read-only
         (echo x >/proc/sysrq-trigger) 2>/dev/null || echo read-only",
    );
    plan.capabilities = capabilities(&["CAP_DAC_OVERRIDE", "CAP_SYS_PTRACE"]);
    let output = world.run(&plan).unwrap().expect_success();
    let (writes, entries): (Vec<_>, Vec<_>) = output.lines().partition(|l| *l == "read-only");
    assert_eq!(writes.len(), 2, "{output}");
    assert!(entries.len() >= 3, "{output}");
    assert!(
        entries.iter().all(|entry| entry.ends_with(" 0")),
        "{output}"
    );
}

pub fn sysfs_is_masked_and_read_only(world: &World) {
    let mut arm = world.arm_plan();
    let flags = MountFlags {
        noexec: true,
        ..READ_ONLY
    };
    arm.mounts.push(planned("/sys", MountKind::sysfs(), flags));
    let mut plan = shell(
        "ls /sys/class/net; ls /sys/firmware | wc -l;
         for cpu in /sys/devices/system/cpu/cpu[0-9]*; do
             [ -z \"$(ls $cpu/thermal_throttle 2>/dev/null)\" ] || echo heat
         done;
         (echo 1 >/sys/kernel/profiling) 2>/dev/null || echo read-only",
    );
    plan.capabilities = capabilities(&["CAP_DAC_OVERRIDE"]);
    let output = world.run_in(&arm, &[], &plan).unwrap().expect_success();
    let lines = output.lines().collect::<Vec<_>>();
    assert!(
        lines.contains(&"lo") && lines.ends_with(&["0", "read-only"]),
        "{output}"
    );
    assert!(!lines.contains(&"eth0"), "{output}");
    assert!(!lines.contains(&"heat"), "{output}");
}

/// What each processor has is hidden for each of them.
pub fn mask_can_be_for_every_name(world: &World) {
    let flags = MountFlags {
        noexec: true,
        ..READ_ONLY
    };
    let processors = std::fs::read_dir("/sys/devices/system/cpu").unwrap();
    let processors = processors
        .map(|entry| entry.unwrap().path().join("topology/core_id"))
        .filter(|id| id.exists())
        .count();
    assert!(processors > 0);
    let hidden = |masked: &[&str]| {
        let mut arm = world.arm_plan();
        let masked = masked.iter().map(Into::into).collect();
        let sysfs = MountKind::Sysfs { masked };
        arm.mounts.push(planned("/sys", sysfs, flags));
        let plan = shell("ls /sys/devices/system/cpu/cpu*/topology/core_id 2>/dev/null | wc -l");
        let seen = world.run_in(&arm, &[], &plan).unwrap().expect_success();
        processors - seen.trim().parse::<usize>().unwrap()
    };
    assert_eq!(hidden(&["devices/system/cpu/*/topology"]), processors);
    assert_eq!(hidden(&["devices/system/cpu/cpu0/topology"]), 1);
    // What there is not is no error, whichever part it is.
    let absent = [
        "nothing/*/topology",
        "devices/system/cpu/*/nothing",
        "devices/system/cpu/online/nothing",
    ];
    assert_eq!(hidden(&absent), 0);
}

pub fn tmpfs_is_as_planned(world: &World) {
    let mut arm = world.arm_plan();
    let kind = MountKind::Tmpfs {
        size: 64 << 10,
        mode: 0o750,
        uid: UID,
        gid: GID,
    };
    arm.mounts.push(planned("/data", kind, CLOSED));
    let plan = shell(
        "stat -c '%a %u %g' /data /tmp; ls /data | wc -l; echo x >/data/x;
         head -c 100000 /dev/zero >/data/y 2>/dev/null || echo full",
    );
    let output = world.run_in(&arm, &[], &plan).unwrap().expect_success();
    assert_eq!(output, format!("750 {UID} {GID}\n1777 0 0\n0\nfull\n"));
}

/// Files without content take memory, too, and nothing of the size: 1 KiB each is what they may take.
pub fn files_without_content_are_limited(world: &World) {
    let mut arm = world.arm_plan();
    let kind = MountKind::Tmpfs {
        size: 64 << 10,
        mode: 0o1777,
        uid: 0,
        gid: 0,
    };
    arm.mounts.push(planned("/data", kind, CLOSED));
    for (directory, most) in [("/data", 64 + 1024), ("/dev/shm", 64 * 1024 + 1024)] {
        let plan = program(&["/bin/probe", "fill", directory]);
        let output = world.run_in(&arm, &[], &plan).unwrap().expect_success();
        let (made, error) = output.trim().split_once(' ').unwrap();
        assert_eq!(error, "ENOSPC", "{directory}");
        let made = made.parse::<u64>().unwrap();
        // The directory is one itself.
        assert!(made < most && made > most - 10, "{directory}: {made}");
    }
}

/// A container leaves the others some of the machine's terminals.
pub fn terminals_are_limited(world: &World) {
    let mut plan = program(&["/bin/probe", "terminals"]);
    plan.rlimits = vec![Rlimit {
        kind: RlimitKind::Nofile,
        soft: Some(1000),
        hard: Some(1000),
    }];
    assert_eq!(world.run(&plan).unwrap().expect_success(), "256 ENOSPC\n");
}

pub fn image_proc_cannot_redirect_the_label(world: &World) {
    // Without a proc of ours the image's own directory is /proc, with a file that takes the label.
    let proc = world.root.path().join("proc");
    fs::create_dir_all(proc.join("self/attr")).unwrap();
    fs::write(proc.join("self/attr/exec"), "").unwrap();
    symlink("self/attr", proc.join("attr")).unwrap();
    let mut arm = world.arm_plan();
    arm.mounts
        .retain(|mount| mount.target != std::path::Path::new("/proc"));
    let mut plan = program(&["/bin/probe"]);
    plan.selinux_exec = Some("system_u:system_r:test_t:s0".to_owned());
    let outcome = world.run_in(&arm, &[], &plan);
    assert_eq!(fs::read_to_string(proc.join("self/attr/exec")).unwrap(), "");
    fs::remove_dir_all(proc.join("self")).unwrap();
    fs::remove_file(proc.join("attr")).unwrap();
    // On a kernel without SELinux, or one that does not know this context, the start fails.
    assert_eq!(outcome.unwrap_err().step, Step::SelinuxExec);
}
