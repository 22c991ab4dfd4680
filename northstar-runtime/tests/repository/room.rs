//! Installs where there is no room, or none to write to.

use std::fs;

use northstar_runtime::repository::InstallError;

use crate::{
    fixture::{Tmpfs, install, keyed, open, stage, write},
    install::nothing_staged,
    support::Env,
};

#[tokio::test]
async fn a_repository_holds_what_it_may_hold_and_not_a_byte_more() {
    let env = Env::new();
    let (a, b) = (
        fs::read(env.signed("a:1.0.0")).unwrap(),
        fs::read(env.signed("b:1.0.0")).unwrap(),
    );
    let mut config = keyed(&env, &env.path("repository"));
    config.capacity_size = Some((a.len() + b.len()) as u64);
    let mut repository = open(&config);
    install(&mut repository, &a).await.unwrap();
    let error = repository.stage(b.len() as u64 + 1).unwrap_err();
    assert!(
        matches!(error, InstallError::Capacity { size, used, limit, .. }
            if size == b.len() as u64 + 1 && used == a.len() as u64 && limit == (a.len() + b.len()) as u64),
        "{error:?}"
    );
    install(&mut repository, &b).await.unwrap();
    let error = repository.stage(1).unwrap_err();
    assert!(matches!(error, InstallError::Capacity { .. }), "{error:?}");
    // After a restart what is there counts as before.
    drop(repository);
    let error = open(&config).stage(1).unwrap_err();
    assert!(matches!(error, InstallError::Capacity { .. }), "{error:?}");
}

#[tokio::test]
async fn a_full_disk_is_noticed_before_the_first_byte_is_kept() {
    let env = Env::new();
    let package = fs::read(env.signed("a:1.0.0")).unwrap();
    let tmpfs = Tmpfs::mount(env.path("repository"), "size=256k");
    let repository = open(&keyed(&env, &tmpfs.0));
    let mut staging = repository.stage(package.len() as u64).unwrap();
    let error = write(&mut staging, &package, package.len())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, InstallError::NoSpace { size, source, .. }
            if *size == package.len() as u64 && source.raw_os_error() == Some(nix::libc::ENOSPC)),
        "{error:?}"
    );
    nothing_staged(&env);
}

#[tokio::test]
async fn a_repository_on_a_read_only_file_system_is_used_and_not_changed() {
    let env = Env::new();
    let a = env.signed("a:1.0.0");
    let b = fs::read(env.signed("b:1.0.0")).unwrap();
    let tmpfs = Tmpfs::mount(env.path("repository"), "size=16m");
    fs::copy(&a, tmpfs.0.join("a.npk")).unwrap();
    tmpfs.read_only();
    let repository = open(&keyed(&env, &tmpfs.0));
    let a = repository.get(&"a:1.0.0".parse().unwrap()).unwrap();
    let error = stage(&repository, &b).await.unwrap_err();
    assert!(
        matches!(&error, InstallError::ReadOnly { source, .. }
            if source.raw_os_error() == Some(nix::libc::EROFS)),
        "{error:?}"
    );
    let error = repository
        .removal(&a.container)
        .unwrap()
        .execute()
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            northstar_runtime::repository::RemoveError::ReadOnly { .. }
        ),
        "{error:?}"
    );
}
