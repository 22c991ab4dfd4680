//! Mounts: exact flags, targets inside the root, and sources of others.

use std::fs;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;

use northstar_sandbox::plan::{DescriptorIndex, MountFlags, MountKind};
use northstar_sandbox::{Step, StepError};

use crate::support::*;

const ATTACH: MountKind = MountKind::Attach(DescriptorIndex(1));
const EBUSY: i32 = 16;
const ELOOP: i32 = 40;
const ENOENT: i32 = 2;

/// The options of the mount at `target`, as the container sees them.
pub fn options(mountinfo: &str, target: &str) -> Vec<String> {
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
