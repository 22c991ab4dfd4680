//! dm-verity as the kernel does it. These tests need a device mapper and fail without one.

use std::{fs, io, path::Path};

use devicemapper::{DM, DevId, DmFlags, DmName, DmOptions, DmUuid};
use northstar_runtime::storage::{Integrity, Kernel, MountError, SquashfsError, mount, reap_stale};

use crate::support::{self, Env};

fn kernel() -> Kernel {
    let kernel = Kernel::detect();
    if let Err(missing) = &kernel.device_mapper {
        panic!("this test needs dm-verity: {missing}");
    }
    kernel
}

/// The names of our device-mapper devices.
fn devices() -> Vec<String> {
    let devices = DM::new().unwrap().list_devices().unwrap();
    devices
        .into_iter()
        .map(|(name, ..)| name.to_string())
        .filter(|name| name.starts_with("northstar-"))
        .collect()
}

#[track_caller]
fn nothing_is_left(env: &Env) {
    assert_eq!(env.mounts(), []);
    assert_eq!(devices(), [""; 0]);
    assert_eq!(env.loop_devices().len(), 0);
    assert_eq!(fs::read_dir(env.path("run")).unwrap().count(), 0);
}

/// Reads a file to the end, or to the first error.
fn read(path: &Path) -> Result<Vec<u8>, Option<i32>> {
    fs::read(path).map_err(|error: io::Error| error.raw_os_error())
}

#[tokio::test]
async fn vm_a_verity_device_exists_exactly_as_long_as_the_mount() {
    let env = Env::new();
    let request = env.request(&env.signed("a:1.0.0"), Integrity::DmVerity);
    let verity = request.source.image.verity.clone().unwrap();
    let image = mount(&kernel(), request).await.unwrap();

    let names = devices();
    assert_eq!(names.len(), 1, "{names:?}");
    let control = DM::new().unwrap();
    let id = DevId::Name(DmName::new(&names[0]).unwrap());
    let options = DmOptions::default().set_flags(DmFlags::DM_STATUS_TABLE);
    let (info, table) = control.table_status(&id, options).unwrap();
    assert!(info.flags().contains(DmFlags::DM_READONLY));
    // A killed daemon leaves no device: it goes with the mount.
    assert!(info.flags().contains(DmFlags::DM_DEFERRED_REMOVE));
    assert!(
        info.uuid()
            .unwrap()
            .to_string()
            .starts_with("NORTHSTAR-northstar-")
    );

    assert_eq!(table.len(), 1);
    let (start, sectors, target, parameters) = &table[0];
    assert_eq!(
        (*start, *sectors, target.as_str()),
        (0, verity.data_blocks * 8, "verity")
    );
    // Ten parameters are the mandatory ones: none of the options that weaken the check.
    assert_eq!(parameters.split(' ').count(), 10, "{parameters}");
    assert_eq!(env.mounts()[0].device, info.device().to_string());

    assert_eq!(read(&image.path().join("data")), Ok(support::data()));
    image.release().await.unwrap();
    nothing_is_left(&env);
}

#[tokio::test]
async fn vm_packages_of_the_reference_packer_pass_dm_verity() {
    let env = Env::new();
    let key = northstar_npk::key::PublicKey::read(&support::fixture("fixture.pub")).unwrap();
    let numbers: String = (1..=5000).map(|number| format!("{number}\n")).collect();
    for name in ["gzip", "gzip-0.9.1", "lzo", "xz", "zstd"] {
        let path = support::fixture(&format!("resource-{name}.npk"));
        let request = support::request(&path, Some(&key), Integrity::DmVerity, &env.path("run"));
        let image = mount(&kernel(), request).await.unwrap();
        assert_eq!(
            fs::read_to_string(image.path().join("sub/numbers")).unwrap(),
            numbers,
            "{name}"
        );
        image.release().await.unwrap();
        nothing_is_left(&env);
    }
}

#[tokio::test]
async fn vm_a_changed_data_byte_reads_as_eio_and_the_rest_as_signed() {
    let env = Env::new();
    let package = env.signed("a:1.0.0");
    let request = env.request(&package, Integrity::DmVerity);
    support::flip(
        &package,
        support::offset_of_data(&package) + support::DATA_SIZE as u64 / 2,
    );
    let image = mount(&kernel(), request).await.unwrap();
    assert_eq!(read(&image.path().join("data")), Err(Some(nix::libc::EIO)));
    assert_eq!(read(&image.path().join("hello")), Ok(b"hello\n".to_vec()));
    image.release().await.unwrap();
    nothing_is_left(&env);
}

#[tokio::test]
async fn vm_a_byte_changed_after_the_mount_reads_as_eio() {
    let env = Env::new();
    let package = env.signed("a:1.0.0");
    let image = mount(&kernel(), env.request(&package, Integrity::DmVerity))
        .await
        .unwrap();
    support::flip(
        &package,
        support::offset_of_data(&package) + support::DATA_SIZE as u64 / 2,
    );
    assert_eq!(read(&image.path().join("data")), Err(Some(nix::libc::EIO)));
    image.release().await.unwrap();
    nothing_is_left(&env);
}

#[tokio::test]
async fn vm_a_changed_tree_byte_reads_as_eio() {
    let env = Env::new();
    let package = env.signed("a:1.0.0");
    let request = env.request(&package, Integrity::DmVerity);
    let image = &request.source.image;
    let verity = image.verity.clone().unwrap();
    // The second block of the tree is the first of the lowest level: its first hash is that of the superblock of the
    // squashfs, its 65th is in the middle of the large file.
    let level = image.offset + verity.tree_offset_in_image + 4096;
    support::flip(&package, level + 64 * 32);
    match mount(&kernel(), request).await {
        // The changed block answers for the squashfs superblock too, so the mount itself fails.
        Err(MountError::Squashfs {
            source: SquashfsError::Io { source, .. },
            ..
        }) => {
            assert_eq!(source.raw_os_error(), Some(nix::libc::EIO));
        }
        other => panic!("{other:?}"),
    }
    nothing_is_left(&env);
}

#[tokio::test]
async fn vm_a_changed_squashfs_superblock_stops_the_mount() {
    let env = Env::new();
    let package = env.signed("a:1.0.0");
    let request = env.request(&package, Integrity::DmVerity);
    support::flip(&package, request.source.image.offset + 8);
    match mount(&kernel(), request).await {
        Err(MountError::Squashfs {
            source: SquashfsError::Io { source, .. },
            ..
        }) => {
            assert_eq!(source.raw_os_error(), Some(nix::libc::EIO));
        }
        other => panic!("{other:?}"),
    }
    nothing_is_left(&env);
}

#[tokio::test]
async fn vm_of_a_replaced_file_the_verified_bytes_are_mounted() {
    let env = Env::new();
    let package = env.signed("a:1.0.0");
    let request = env.request(&package, Integrity::DmVerity);
    fs::write(env.path("root/hello"), b"replaced\n").unwrap();
    assert_eq!(env.signed("a:1.0.0"), package);
    let image = mount(&kernel(), request).await.unwrap();
    assert_eq!(read(&image.path().join("hello")), Ok(b"hello\n".to_vec()));
    image.release().await.unwrap();
    nothing_is_left(&env);
}

#[tokio::test]
async fn vm_a_dropped_image_takes_its_devices_along() {
    let env = Env::new();
    let request = env.request(&env.signed("a:1.0.0"), Integrity::DmVerity);
    drop(mount(&kernel(), request).await.unwrap());
    support::eventually("its devices are gone", || {
        devices().is_empty() && env.loop_devices().is_empty()
    });
    nothing_is_left(&env);
}

#[tokio::test]
async fn vm_only_devices_of_dead_daemons_are_reaped() {
    let env = Env::new();
    let control = DM::new().unwrap();
    // Beyond the largest process id (4194304): nobody.
    let dead = "northstar-4194305-1-0";
    let foreign = "northstar-like-but-foreign";
    for name in [dead, foreign] {
        let uuid = match name == dead {
            true => format!("NORTHSTAR-{name}"),
            false => format!("FOREIGN-{name}"),
        };
        let (name, uuid) = (DmName::new(name).unwrap(), DmUuid::new(&uuid).unwrap());
        control
            .device_create(name, Some(uuid), DmOptions::default())
            .unwrap();
    }
    let image = mount(
        &kernel(),
        env.request(&env.signed("a:1.0.0"), Integrity::DmVerity),
    )
    .await
    .unwrap();

    fs::create_dir(env.path("other")).unwrap();
    let reaped = reap_stale(&env.path("other")).unwrap();
    assert!(reaped.failures.is_empty(), "{:?}", reaped.failures);
    assert_eq!(reaped.devices, [dead]);
    let left = devices();
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left.contains(&foreign.to_owned()), "{left:?}");

    let id = DevId::Name(DmName::new(foreign).unwrap());
    control.device_remove(&id, DmOptions::default()).unwrap();
    image.release().await.unwrap();
    nothing_is_left(&env);
}
