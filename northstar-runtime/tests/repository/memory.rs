//! Repositories in memory.

use std::{fs, io::Write};

use northstar_runtime::{
    config::{self, Storage},
    repository::{InstallError, MEMORY_CAPACITY, Repository},
    storage::{Kernel, MountRequest, mount},
};
use rustix::fs::{SealFlags, fcntl_get_seals};

use crate::{
    fixture::{id, install, keyed},
    support::{self, Env, LOOP_TIMEOUT},
};

fn memory(env: &Env) -> (config::Repository, Repository) {
    let config = config::Repository {
        storage: Storage::Mem,
        ..keyed(env, std::path::Path::new("unused"))
    };
    let (repository, rejected) = Repository::open(&id("memory"), &config).unwrap();
    assert!(rejected.is_empty(), "{rejected:?}");
    (config, repository)
}

#[tokio::test]
async fn a_package_in_memory_is_sealed_and_can_be_mounted() {
    let env = Env::new();
    let (_, mut repository) = memory(&env);
    let bytes = fs::read(env.signed("a:1.0.0")).unwrap();
    let package = install(&mut repository, &bytes).await.unwrap();

    let seals = fcntl_get_seals(&package.source.file).unwrap();
    let all = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    assert!(seals.contains(all), "{seals:?}");
    // Not even the descriptor could write, and no other one that is got through it can.
    let error = (&*package.source.file).write(b"x").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(nix::libc::EBADF));

    let request = MountRequest {
        container: package.container.clone(),
        source: package.source.clone(),
        integrity: package.integrity,
        target: env.path("run/a:1.0.0"),
        selinux_context: None,
        loop_timeout: LOOP_TIMEOUT,
    };
    let image = mount(&Kernel::detect(), request).await.unwrap();
    assert_eq!(
        fs::read(image.path().join("data")).unwrap(),
        support::data()
    );
    image.release().await.unwrap();
}

#[tokio::test]
async fn a_removed_package_gives_its_memory_back() {
    let env = Env::new();
    let (_, mut repository) = memory(&env);
    let bytes = fs::read(env.signed("a:1.0.0")).unwrap();
    let before = support::descriptors();
    let container = install(&mut repository, &bytes)
        .await
        .unwrap()
        .container
        .clone();
    assert_eq!(support::descriptors(), before + 1);
    repository
        .removal(&container)
        .unwrap()
        .execute()
        .await
        .unwrap();
    repository.forget(&container).unwrap();
    assert_eq!(support::descriptors(), before);
    install(&mut repository, &bytes).await.unwrap();
}

#[test]
fn memory_is_limited_even_if_the_configuration_says_nothing() {
    let env = Env::new();
    let (mut config, repository) = memory(&env);
    let _share = repository.stage(MEMORY_CAPACITY).unwrap();
    let error = repository.stage(1).unwrap_err();
    assert!(
        matches!(
            error,
            InstallError::Capacity {
                limit: MEMORY_CAPACITY,
                ..
            }
        ),
        "{error:?}"
    );
    config.capacity_size = Some(10);
    let (repository, _) = Repository::open(&id("memory"), &config).unwrap();
    let error = repository.stage(11).unwrap_err();
    assert!(
        matches!(error, InstallError::Capacity { limit: 10, .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_package_in_memory_is_checked_as_any_other() {
    let env = Env::new();
    let (_, mut repository) = memory(&env);
    let unsigned = fs::read(env.unsigned("a:1.0.0")).unwrap();
    let error = install(&mut repository, &unsigned).await.unwrap_err();
    assert!(
        matches!(
            error,
            InstallError::Package(northstar_npk::OpenError::Unsigned)
        ),
        "{error:?}"
    );
}
