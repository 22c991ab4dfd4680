//! What a crashed daemon left is taken away, and nothing else.

use std::{fs, process::Command};

use northstar_runtime::storage::{Integrity, Kernel, mount, reap_stale};

use crate::support::{self, Env};

/// Mounts an image the way nobody of this process knows about.
fn leave_mount(env: &Env, container: &str, at: &str) {
    let image = env
        .request(&env.unsigned(container), Integrity::None)
        .source
        .image;
    let target = env.path(at);
    fs::create_dir_all(&target).unwrap();
    let options = format!("loop,ro,offset={},sizelimit={}", image.offset, image.size);
    let package = env
        .path("packages")
        .join(format!("{}.npk", container.replace(':', "-")));
    let status = Command::new("mount")
        .args(["-t", "squashfs", "-o", &options])
        .args([&package, &target])
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

#[test]
fn mounts_below_the_run_directory_are_taken_away_with_their_devices() {
    let env = Env::new();
    leave_mount(&env, "a:1.0.0", "run/a:1.0.0");
    leave_mount(&env, "b:1.0.0", "run/b:1.0.0");
    leave_mount(&env, "c:1.0.0", "elsewhere");

    let reaped = reap_stale(&env.path("run")).unwrap();
    assert!(reaped.failures.is_empty(), "{:?}", reaped.failures);
    let mut mounts = reaped.mounts.clone();
    mounts.sort();
    assert_eq!(mounts, [env.path("run/a:1.0.0"), env.path("run/b:1.0.0")]);
    assert_eq!(fs::read_dir(env.path("run")).unwrap().count(), 0);

    let left: Vec<_> = env.mounts().into_iter().map(|mount| mount.path).collect();
    assert_eq!(left, [env.path("elsewhere")]);
    support::eventually("their loop devices are free", || {
        env.loop_devices().len() == 1
    });
    let status = Command::new("umount")
        .arg(env.path("elsewhere"))
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn a_taken_away_mount_is_not_unmounted_a_second_time() {
    let env = Env::new();
    let package = env.signed("a:1.0.0");
    let kernel = Kernel::detect();
    let image = mount(&kernel, env.request(&package, Integrity::FullRead))
        .await
        .unwrap();
    let reaped = reap_stale(&env.path("run")).unwrap();
    assert_eq!(reaped.mounts, [image.path()]);
    // Another mount in the same place: the first image must not take it down.
    let second = mount(&kernel, env.request(&package, Integrity::FullRead))
        .await
        .unwrap();
    drop(image);
    assert_eq!(env.mounts().len(), 1);
    second.release().await.unwrap();
    support::eventually("the loop devices are free", || {
        env.loop_devices().is_empty()
    });
}
