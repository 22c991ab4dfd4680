//! A mount and its way back.

use std::{
    fs::{self, File},
    os::fd::AsFd,
    sync::Arc,
    time::{Duration, SystemTime},
};

use northstar_runtime::storage::{Integrity, Kernel, UnmountError, mount};
use rustix::fs::{Mode, OFlags, openat};

use crate::support::{self, Env, fixture};

const READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC);

#[tokio::test]
async fn an_image_is_mounted_read_only_without_devices_and_set_user_id() {
    let env = Env::new();
    let request = env.request(&env.signed("a:1.0.0"), Integrity::FullRead);
    let image = mount(&Kernel::detect(), request).await.unwrap();

    assert_eq!(image.path(), env.path("run/a:1.0.0"));
    let mounts = env.mounts();
    assert_eq!(mounts.len(), 1, "{mounts:?}");
    assert_eq!(mounts[0].path, image.path());
    assert_eq!(mounts[0].filesystem, "squashfs");
    for option in ["ro", "nodev", "nosuid"] {
        assert!(mounts[0].options.contains(option), "{option}: {mounts:?}");
    }
    assert_eq!(
        fs::read(image.path().join("data")).unwrap(),
        support::data()
    );
    image.release().await.unwrap();
}

#[tokio::test]
async fn the_root_descriptor_leads_into_the_mount() {
    let env = Env::new();
    let request = env.request(&env.unsigned("a:1.0.0"), Integrity::None);
    let image = mount(&Kernel::detect(), request).await.unwrap();
    let hello = openat(image.root(), "hello", READ, Mode::empty()).unwrap();
    assert_eq!(
        std::io::read_to_string(File::from(hello)).unwrap(),
        "hello\n"
    );
    image.release().await.unwrap();
}

#[tokio::test]
async fn nothing_is_left_after_a_release() {
    let env = Env::new();
    let package = env.signed("a:1.0.0");
    let kernel = Kernel::detect();
    // Once for what is set up only once, such as the runtime's threads.
    mount(&kernel, env.request(&package, Integrity::FullRead))
        .await
        .unwrap()
        .release()
        .await
        .unwrap();

    let before = support::descriptors();
    for integrity in [Integrity::FullRead, Integrity::None]
        .into_iter()
        .cycle()
        .take(20)
    {
        let image = mount(&kernel, env.request(&package, integrity))
            .await
            .unwrap();
        assert_eq!(env.loop_devices().len(), 1);
        image.release().await.unwrap();
        assert_eq!(env.mounts(), []);
        assert_eq!(env.loop_devices().len(), 0);
        assert_eq!(fs::read_dir(env.path("run")).unwrap().count(), 0);
    }
    assert_eq!(support::descriptors(), before);
}

#[tokio::test]
async fn packages_of_the_reference_packer_are_mounted() {
    let env = Env::new();
    let key = northstar_npk::key::PublicKey::read(&fixture("fixture.pub")).unwrap();
    let numbers: String = (1..=5000).map(|number| format!("{number}\n")).collect();
    for name in ["gzip", "gzip-0.9.1", "lzo", "xz", "zstd", "unsigned"] {
        let path = fixture(&format!("resource-{name}.npk"));
        let (key, integrity) = match name {
            "unsigned" => (None, Integrity::None),
            _ => (Some(&key), Integrity::FullRead),
        };
        let request = support::request(&path, key, integrity, &env.path("run"));
        let image = mount(&Kernel::detect(), request).await.unwrap();
        let found = fs::read_to_string(image.path().join("sub/numbers")).unwrap();
        assert_eq!(found, numbers, "{name}");
        image.release().await.unwrap();
    }
}

#[tokio::test]
async fn an_image_in_sealed_memory_is_mounted() {
    let env = Env::new();
    let bytes = fs::read(env.signed("a:1.0.0")).unwrap();
    let content = northstar_sys::memfd::Content::Data;
    let memory: File = northstar_sys::memfd::sealed("test", &bytes, content)
        .unwrap()
        .into();
    let mut request = env.request(&env.path("packages/a-1.0.0.npk"), Integrity::FullRead);
    request.source.file = Arc::new(memory);
    let image = mount(&Kernel::detect(), request).await.unwrap();
    assert_eq!(
        fs::read(image.path().join("data")).unwrap(),
        support::data()
    );
    image.release().await.unwrap();
}

#[tokio::test]
async fn a_mount_in_use_is_handed_back_as_it_was() {
    let env = Env::new();
    let request = env.request(&env.signed("a:1.0.0"), Integrity::FullRead);
    let image = mount(&Kernel::detect(), request).await.unwrap();
    let user = File::open(image.path().join("hello")).unwrap();

    let image = match image.release().await {
        Err(UnmountError::Busy { path, image }) => {
            assert_eq!(path, env.path("run/a:1.0.0"));
            *image
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(fs::read(image.path().join("hello")).unwrap(), b"hello\n");
    openat(image.root().as_fd(), "hello", READ, Mode::empty()).unwrap();

    drop(user);
    image.release().await.unwrap();
    assert_eq!(env.mounts(), []);
    assert_eq!(env.loop_devices().len(), 0);
}

#[tokio::test]
async fn a_dropped_image_is_detached_even_if_it_is_in_use() {
    let env = Env::new();
    let request = env.request(&env.signed("a:1.0.0"), Integrity::FullRead);
    let image = mount(&Kernel::detect(), request).await.unwrap();
    let user = File::open(image.path().join("hello")).unwrap();
    drop(image);
    assert_eq!(env.mounts(), []);
    assert_eq!(fs::read_dir(env.path("run")).unwrap().count(), 0);
    // The loop device goes with its last user.
    assert_eq!(env.loop_devices().len(), 1);
    assert_eq!(std::io::read_to_string(&user).unwrap(), "hello\n");
    drop(user);
    support::eventually("the loop device is free", || env.loop_devices().is_empty());
}

#[tokio::test]
async fn a_mount_that_nobody_waits_for_any_more_is_undone() {
    let env = Env::new();
    let request = env.request(&env.signed("a:1.0.0"), Integrity::FullRead);
    let kernel = Kernel::detect();
    // It may be mounted for less time than it takes to look. The directory of the mounts remembers.
    let run = File::open(env.path("run")).unwrap();
    run.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let cancelled = tokio::time::timeout(Duration::ZERO, mount(&kernel, request)).await;
    assert!(cancelled.is_err(), "{cancelled:?}");
    let left = || env.mounts().len() + env.loop_devices().len() + entries(&env);
    // The thread has begun or will begin; in the end it takes down what nobody receives.
    support::eventually("a mount point was made", || {
        run.metadata().unwrap().modified().unwrap() != SystemTime::UNIX_EPOCH
    });
    support::eventually("nothing is left", || left() == 0);
}

fn entries(env: &Env) -> usize {
    fs::read_dir(env.path("run")).unwrap().count()
}
