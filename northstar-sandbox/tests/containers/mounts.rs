//! Mounts: exact flags, targets inside the root, and file systems of our own.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use northstar_sandbox::plan::{DescriptorIndex, MountFlags, MountKind, Rlimit, RlimitKind};
use northstar_sandbox::{Step, StepError};

use crate::support::*;

const ATTACH: MountKind = MountKind::Attach(DescriptorIndex(1));
const EBUSY: i32 = 16;
const ELOOP: i32 = 40;
const ENOENT: i32 = 2;

/// The options of the mount at `target`, as the container sees them.
fn options(mountinfo: &str, target: &str) -> Vec<String> {
    let lines = mountinfo
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    let found = lines
        .filter(|fields| fields[4] == target)
        .collect::<Vec<_>>();
    assert_eq!(found.len(), 1, "{target} in {mountinfo}");
    found[0][5].split(',').map(str::to_owned).collect()
}

/// Every combination of the five flags, from a source that has all of them and from one that has
/// none: what is not asked for is cleared, and the mount below the source comes along, under the
/// same flags, only with `recursive`.
pub fn flags_are_exact_in_every_combination(world: &World) {
    let source = tempfile::tempdir().unwrap();
    let below = source.path().join("sub");
    fs::create_dir(&below).unwrap();
    let _below = Below::mount(below);
    let everything = MountFlags {
        noexec: true,
        ..READ_ONLY
    };
    for bits in 0..64 {
        let flags = MountFlags {
            read_only: bits & 1 != 0,
            nosuid: bits & 2 != 0,
            nodev: bits & 4 != 0,
            noexec: bits & 8 != 0,
            recursive: bits & 16 != 0,
        };
        let found_as = if bits & 32 != 0 {
            everything
        } else {
            MountFlags::default()
        };
        let recursive = flags.recursive;
        let mount = clone(
            source.path(),
            MountFlags {
                recursive,
                ..found_as
            },
        );
        let mut arm = world.arm_plan();
        arm.mounts.push(planned("/data", ATTACH, flags));
        arm.mounts.push(planned("/other", tmpfs(), flags));
        let finished = world
            .run_in(&arm, &[mount.as_fd()], &shell("cat /proc/self/mountinfo"))
            .unwrap();
        let mountinfo = finished.expect_success();
        assert_eq!(mountinfo.contains(" /data/sub "), recursive, "{flags:?}");
        let mut targets = vec!["/data", "/other"];
        targets.extend(recursive.then_some("/data/sub"));
        for target in targets {
            let found = options(&mountinfo, target);
            let has = |option: &str| found.iter().any(|found| found == option);
            assert_eq!(has("ro"), flags.read_only, "{target} {flags:?} {found:?}");
            assert_eq!(has("nosuid"), flags.nosuid, "{target} {flags:?} {found:?}");
            assert_eq!(has("nodev"), flags.nodev, "{target} {flags:?} {found:?}");
            assert_eq!(has("noexec"), flags.noexec, "{target} {flags:?} {found:?}");
        }
        let root = options(&mountinfo, "/");
        assert!(
            ["ro", "nosuid", "nodev"]
                .iter()
                .all(|o| root.iter().any(|f| f == o)),
            "{root:?}"
        );
    }
}

/// A mount below a source, as long as this lives.
struct Below(PathBuf);

impl Below {
    fn mount(at: PathBuf) -> Below {
        let mount = ["-t", "tmpfs", "none"];
        let mounted = Command::new("mount").args(mount).arg(&at).status();
        assert!(mounted.unwrap().success());
        Below(at)
    }
}

impl Drop for Below {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

pub fn missing_target_fails_with_its_path(world: &World) {
    let mut arm = world.arm_plan();
    arm.mounts.push(planned("/missing", tmpfs(), CLOSED));
    let Err(error) = world.try_arm(&arm, &[]) else {
        panic!("armed")
    };
    assert_eq!(error, StepError::new(Step::Mount, ENOENT, "/missing"));
    assert!(!world.root.path().join("missing").exists());

    let mut arm = world.arm_plan();
    arm.mounts.push(planned("relative", tmpfs(), CLOSED));
    let Err(error) = world.try_arm(&arm, &[]) else {
        panic!("armed")
    };
    assert_eq!(error, StepError::new(Step::Mount, 22, "relative"));
}

pub fn final_link_as_target_is_refused(world: &World) {
    for target in ["/link", "/out"] {
        let mut arm = world.arm_plan();
        arm.mounts.push(planned(target, tmpfs(), CLOSED));
        let Err(error) = world.try_arm(&arm, &[]) else {
            panic!("armed")
        };
        assert_eq!(error, StepError::new(Step::Mount, ELOOP, target));
    }
}

pub fn link_out_of_the_root_stays_inside(world: &World) {
    // Parents may be links: /link -> /real, /out -> far above the root, both end up inside.
    let mut arm = world.arm_plan();
    arm.mounts.push(planned("/link/inner", tmpfs(), CLOSED));
    arm.mounts.push(planned("/out/data", tmpfs(), CLOSED));
    arm.mounts.push(planned("/../../etc", tmpfs(), CLOSED));
    let mountinfo = world
        .run_in(&arm, &[], &shell("cat /proc/self/mountinfo"))
        .unwrap()
        .expect_success();
    for target in ["/real/inner", "/data", "/etc"] {
        options(&mountinfo, target);
    }
}

pub fn second_mount_on_one_place_is_refused(world: &World) {
    for (first, second) in [
        ("/data", "/data"),
        ("/real/inner", "/link/inner"),
        ("/data", "/out"),
    ] {
        let mut arm = world.arm_plan();
        arm.mounts.push(planned(first, tmpfs(), CLOSED));
        arm.mounts.push(planned(second, tmpfs(), CLOSED));
        let Err(error) = world.try_arm(&arm, &[]) else {
            panic!("armed")
        };
        match second {
            "/out" => assert_eq!(error, StepError::new(Step::Mount, ELOOP, "/out")),
            _ => assert_eq!(error, StepError::new(Step::Mount, EBUSY, second)),
        }
    }
    // A mount that another one would hide.
    let mut arm = world.arm_plan();
    arm.mounts.push(planned("/real", tmpfs(), CLOSED));
    arm.mounts.push(planned("/", tmpfs(), CLOSED));
    let Err(error) = world.try_arm(&arm, &[]) else {
        panic!("armed")
    };
    assert_eq!(error, StepError::new(Step::Mount, EBUSY, "/"));
}

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

pub fn mount_points_are_created_in_fresh_file_systems_only(world: &World) {
    let file = world.root_mount();
    drop(file);
    let source = clone(&world.root.path().join("data/file"), READ_ONLY);
    let mut arm = world.arm_plan();
    arm.mounts.push(planned("/tmp/a/b/file", ATTACH, READ_ONLY));
    arm.mounts.push(planned("/dev/mine", tmpfs(), CLOSED));
    let plan = shell("cat /tmp/a/b/file; stat -c ' %a %F' /tmp/a /tmp/a/b /dev/mine");
    let output = world
        .run_in(&arm, &[source.as_fd()], &plan)
        .unwrap()
        .expect_success();
    assert_eq!(
        output,
        "file 755 directory\n 755 directory\n 1777 directory\n"
    );

    // A bind is not fresh, even where it could be written.
    let directory = tempfile::tempdir().unwrap();
    let source = clone(directory.path(), MountFlags::default());
    let mut arm = world.arm_plan();
    arm.mounts
        .push(planned("/data", ATTACH, MountFlags::default()));
    arm.mounts.push(planned("/data/new", tmpfs(), CLOSED));
    let Err(error) = world.try_arm(&arm, &[source.as_fd()]) else {
        panic!("armed")
    };
    assert_eq!(error, StepError::new(Step::Mount, ENOENT, "/data/new"));
    assert!(fs::read_dir(directory.path()).unwrap().next().is_none());
}

/// What is attached inside a fresh file system is not fresh, and neither is anything below it.
pub fn fresh_file_system_ends_at_what_is_attached_inside(world: &World) {
    for place in ["/tmp/data", "/tmp/a/data", "/dev/data", "/dev/shm/data"] {
        for below in ["new", "new/deep"] {
            let directory = tempfile::tempdir().unwrap();
            let source = clone(directory.path(), MountFlags::default());
            let target = format!("{place}/{below}");
            let mut arm = world.arm_plan();
            arm.mounts
                .push(planned(place, ATTACH, MountFlags::default()));
            arm.mounts.push(planned(&target, tmpfs(), CLOSED));
            let Err(error) = world.try_arm(&arm, &[source.as_fd()]) else {
                panic!("armed with {target}")
            };
            assert_eq!(error, StepError::new(Step::Mount, ENOENT, target));
            assert!(fs::read_dir(directory.path()).unwrap().next().is_none());
        }
    }
    // Both shared memory and a tmpfs inside another are.
    let mut arm = world.arm_plan();
    arm.mounts.push(planned("/dev/shm/mine", tmpfs(), CLOSED));
    arm.mounts.push(planned("/tmp/inner", tmpfs(), CLOSED));
    arm.mounts.push(planned("/tmp/inner/most", tmpfs(), CLOSED));
    let plan = shell("stat -c '%a' /dev/shm/mine /tmp/inner/most");
    let output = world.run_in(&arm, &[], &plan).unwrap().expect_success();
    assert_eq!(output, "1777\n1777\n");
}

pub fn recursive_bind_brings_submounts_under_its_flags(world: &World) {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("sub")).unwrap();
    let below = directory.path().join("sub");
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "none"])
        .arg(&below)
        .status()
        .unwrap();
    assert!(mount.success());
    let recursive = MountFlags {
        recursive: true,
        noexec: true,
        ..READ_ONLY
    };
    let source = clone(directory.path(), recursive);
    let unmount = Command::new("umount").arg(&below).status().unwrap();
    assert!(unmount.success());

    let mut arm = world.arm_plan();
    arm.mounts.push(planned("/data", ATTACH, recursive));
    let plan = shell("cat /proc/self/mountinfo; touch /data/sub/x 2>/dev/null || echo read-only");
    let output = world
        .run_in(&arm, &[source.as_fd()], &plan)
        .unwrap()
        .expect_success();
    let (mountinfo, last) = output.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(last, "read-only");
    for target in ["/data", "/data/sub"] {
        let found = options(mountinfo, target);
        for option in ["ro", "nosuid", "nodev", "noexec"] {
            assert!(found.iter().any(|f| f == option), "{target} {found:?}");
        }
    }
}

pub fn shared_source_becomes_private(world: &World) {
    let directory = tempfile::tempdir().unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let status = Command::new(program)
            .args(arguments)
            .arg(directory.path())
            .status();
        assert!(status.unwrap().success(), "{program} {arguments:?}");
    };
    run("mount", &["-t", "tmpfs", "none"]);
    run("mount", &["--make-shared"]);
    let source = clone(directory.path(), MountFlags::default());
    let mut arm = world.arm_plan();
    arm.mounts
        .push(planned("/data", ATTACH, MountFlags::default()));
    let plan = shell("cat /proc/self/mountinfo");
    let outcome = world.run_in(&arm, &[source.as_fd()], &plan);
    run("umount", &[]);
    let mountinfo = outcome.unwrap().expect_success();
    assert!(mountinfo.contains(" /data rw"), "{mountinfo}");
    for word in ["shared:", "master:", "propagate_from:", "unbindable"] {
        assert!(!mountinfo.contains(word), "{mountinfo}");
    }
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
