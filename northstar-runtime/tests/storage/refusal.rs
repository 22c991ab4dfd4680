//! What is refused, with the typed reason, and that nothing is left of it.

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt, PermissionsExt},
    sync::Arc,
};

use northstar_npk::verity::VerityError;
use northstar_runtime::storage::{
    Integrity, Kernel, MissingFeature, MountError, SquashfsError, TargetError, mount,
};

use crate::support::{self, Env};

async fn refused(env: &Env, request: northstar_runtime::storage::MountRequest) -> MountError {
    let error = mount(&Kernel::detect(), request).await.unwrap_err();
    assert_eq!(env.mounts(), []);
    assert_eq!(env.loop_devices().len(), 0);
    error
}

#[tokio::test]
async fn dm_verity_without_a_device_mapper_is_refused_by_name() {
    let env = Env::new();
    let request = env.request(&env.signed("a:1.0.0"), Integrity::DmVerity);
    let missing = devicemapper::errors::Error::ContextInit("no such file".into());
    let kernel = Kernel {
        device_mapper: Err(MissingFeature::DeviceMapper(Arc::new(missing.into()))),
    };
    let error = mount(&kernel, request).await.unwrap_err();
    let MountError::MissingFeature { container, source } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(container.to_string(), "a:1.0.0");
    assert!(source.to_string().contains("CONFIG_DM_VERITY"));
    assert_eq!(fs::read_dir(env.path("run")).unwrap().count(), 0);
}

#[tokio::test]
async fn an_image_without_a_signed_tree_is_refused_where_it_has_to_be_protected() {
    let env = Env::new();
    let package = env.unsigned("a:1.0.0");
    for integrity in [Integrity::FullRead, Integrity::DmVerity] {
        let mut request = env.request(&package, Integrity::None);
        request.integrity = integrity;
        let error = refused(&env, request).await;
        assert!(matches!(error, MountError::Unprotected { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_byte_changed_after_the_load_is_found_before_the_mount() {
    let env = Env::new();
    let package = env.signed("a:1.0.0");
    let image = env.request(&package, Integrity::FullRead).source.image;
    let tree = image.verity.clone().unwrap().tree_offset_in_image;
    let pristine = fs::read(&package).unwrap();
    // First and last byte of the squashfs, of its largest file, and of the tree.
    for offset in [
        image.offset,
        support::offset_of_data(&package) + support::DATA_SIZE as u64 / 2,
        image.offset + image.squashfs_size - 1,
        image.offset + tree,
        image.offset + image.size - 1,
    ] {
        let request = env.request(&package, Integrity::FullRead);
        support::flip(&package, offset);
        let error = refused(&env, request).await;
        let MountError::Corrupt { source, .. } = &error else {
            panic!("{offset}: {error:?}")
        };
        assert!(
            matches!(
                source,
                VerityError::Block { .. } | VerityError::Padding { .. } | VerityError::Root
            ),
            "{offset}: {source:?}"
        );
        fs::write(&package, &pristine).unwrap();
    }
    // The pristine bytes are good, so it was the change that was refused.
    let request = env.request(&package, Integrity::FullRead);
    mount(&Kernel::detect(), request)
        .await
        .unwrap()
        .release()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_file_cut_after_the_load_is_refused() {
    let env = Env::new();
    let package = env.signed("a:1.0.0");
    for integrity in [Integrity::FullRead, Integrity::None] {
        let request = env.request(&package, integrity);
        let end = request.source.image.offset + request.source.image.size;
        let whole = fs::read(&package).unwrap();
        File::options()
            .write(true)
            .open(&package)
            .unwrap()
            .set_len(end - 1)
            .unwrap();
        let error = refused(&env, request).await;
        assert!(
            matches!(&error, MountError::Truncated { expected, actual, .. }
                if *expected == end && *actual == end - 1),
            "{error:?}"
        );
        fs::write(&package, whole).unwrap();
    }
}

#[tokio::test]
async fn of_a_file_replaced_after_the_load_the_verified_bytes_are_mounted() {
    let env = Env::new();
    let package = env.signed("a:1.0.0");
    let request = env.request(&package, Integrity::FullRead);
    fs::write(env.path("root/hello"), b"replaced\n").unwrap();
    // Packing gives the file a new inode under the old name.
    assert_eq!(env.signed("a:1.0.0"), package);
    let image = mount(&Kernel::detect(), request).await.unwrap();
    assert_eq!(fs::read(image.path().join("hello")).unwrap(), b"hello\n");
    image.release().await.unwrap();
}

#[tokio::test]
async fn an_image_that_is_no_squashfs_is_refused_by_the_kernel() {
    let env = Env::new();
    let package = env.unsigned("a:1.0.0");
    let request = env.request(&package, Integrity::None);
    let file = File::options().write(true).open(&package).unwrap();
    file.write_all_at(&[0; 4096], request.source.image.offset)
        .unwrap();
    let error = refused(&env, request).await;
    let MountError::Squashfs {
        source: SquashfsError::Io {
            operation, source, ..
        },
        ..
    } = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!(*operation, "fsconfig create");
    assert_eq!(source.raw_os_error(), Some(nix::libc::EINVAL));
    assert_eq!(fs::read_dir(env.path("run")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_label_is_never_lost_silently() {
    let env = Env::new();
    let mut request = env.request(&env.signed("a:1.0.0"), Integrity::FullRead);
    // No policy has this type, and a kernel without SELinux knows no label at all.
    request.selinux_context = Some("system_u:object_r:northstar_no_such_type_t:s0".into());
    let error = refused(&env, request).await;
    assert!(
        matches!(&error, MountError::Squashfs { source: SquashfsError::Io { operation, .. }, .. }
            if operation.starts_with("fsconfig")),
        "{error:?}"
    );
}

#[tokio::test]
async fn nothing_is_mounted_over_a_mount() {
    let env = Env::new();
    let package = env.signed("a:1.0.0");
    let kernel = Kernel::detect();
    let image = mount(&kernel, env.request(&package, Integrity::FullRead))
        .await
        .unwrap();
    let error = mount(&kernel, env.request(&package, Integrity::FullRead))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            MountError::Target {
                source: TargetError::Occupied,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(env.mounts().len(), 1);
    image.release().await.unwrap();
}

#[tokio::test]
async fn a_run_directory_that_others_can_write_is_refused() {
    let env = Env::new();
    let request = env.request(&env.signed("a:1.0.0"), Integrity::FullRead);
    fs::set_permissions(env.path("run"), fs::Permissions::from_mode(0o770)).unwrap();
    let error = refused(&env, request).await;
    assert!(
        matches!(
            error,
            MountError::Target {
                source: TargetError::Writable { mode: 0o770, .. },
                ..
            }
        ),
        "{error:?}"
    );
}

/// A file system in a file, mounted; what lies below it can be changed without its knowledge.
struct Disk {
    stored: std::path::PathBuf,
    mounted: std::path::PathBuf,
}

impl Disk {
    fn new(env: &Env) -> Self {
        let disk = Self {
            stored: env.path("disk.img"),
            mounted: env.path("disk"),
        };
        fs::File::create(&disk.stored)
            .unwrap()
            .set_len(16 << 20)
            .unwrap();
        fs::create_dir(&disk.mounted).unwrap();
        run("mkfs.ext4", &["-q".as_ref(), disk.stored.as_ref()]);
        run(
            "mount",
            &[
                "-o".as_ref(),
                "loop".as_ref(),
                disk.stored.as_ref(),
                disk.mounted.as_ref(),
            ],
        );
        disk
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &[self.mounted.as_ref()]);
    }
}

fn run(program: &str, arguments: &[&std::ffi::OsStr]) {
    let output = std::process::Command::new(program)
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{program}: {output:?}");
}

#[tokio::test]
async fn what_is_cached_of_a_file_does_not_hide_what_is_stored() {
    let env = Env::new();
    let disk = Disk::new(&env);
    let package = disk.mounted.join("a.npk");
    fs::copy(env.signed("a:1.0.0"), &package).unwrap();
    fs::File::open(&package).unwrap().sync_all().unwrap();
    let pristine = fs::read(&package).unwrap();

    let offset = support::offset_of_data(&disk.stored);
    support::flip(&disk.stored, offset);
    assert_eq!(
        fs::read(&package).unwrap(),
        pristine,
        "the change must be out of sight"
    );

    let request = env.request(&package, Integrity::FullRead);
    let error = mount(&Kernel::detect(), request).await.unwrap_err();
    let mounts: Vec<_> = env.mounts().into_iter().map(|mount| mount.path).collect();
    assert_eq!(mounts, std::slice::from_ref(&disk.mounted));
    assert!(
        matches!(
            error,
            MountError::Corrupt {
                source: VerityError::Block { .. },
                ..
            }
        ),
        "{error:?}"
    );
}
