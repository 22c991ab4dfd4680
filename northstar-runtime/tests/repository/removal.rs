//! Removals.

use std::fs;

use northstar_runtime::{
    repository::RemoveError,
    storage::{Kernel, MountRequest, mount},
};

use crate::{
    fixture::{entries, install, keyed, open},
    support::{self, Env, LOOP_TIMEOUT},
};

#[tokio::test]
async fn a_removed_package_is_gone_now_and_after_a_restart() {
    let env = Env::new();
    let bytes = fs::read(env.signed("a:1.0.0")).unwrap();
    let mut config = keyed(&env, &env.path("packages"));
    config.capacity_num = Some(1);
    let mut repository = open(&config);
    let container = "a:1.0.0".parse().unwrap();
    repository
        .removal(&container)
        .unwrap()
        .execute()
        .await
        .unwrap();
    assert_eq!(entries(&env.path("packages")), [".staging"]);
    assert_eq!(entries(&env.path("packages/.staging")), [""; 0]);
    // The registry follows when it is told to, and then name and room are free.
    assert!(repository.get(&container).is_some());
    repository.forget(&container).unwrap();
    assert!(repository.get(&container).is_none());
    assert!(repository.removal(&container).is_none());
    install(&mut repository, &bytes).await.unwrap();
    repository
        .removal(&container)
        .unwrap()
        .execute()
        .await
        .unwrap();
    drop(repository);
    assert_eq!(open(&config).packages().count(), 0);
}

#[tokio::test]
async fn a_file_that_took_the_place_of_the_package_is_not_deleted() {
    let env = Env::new();
    let package = env.signed("a:1.0.0");
    let repository = open(&keyed(&env, &env.path("packages")));
    fs::remove_file(&package).unwrap();
    fs::write(&package, b"somebody else's").unwrap();
    let container = "a:1.0.0".parse().unwrap();
    let error = repository
        .removal(&container)
        .unwrap()
        .execute()
        .await
        .unwrap_err();
    assert!(
        matches!(&error, RemoveError::Replaced { path } if *path == package),
        "{error:?}"
    );
    assert_eq!(fs::read(&package).unwrap(), b"somebody else's");
    assert_eq!(entries(&env.path("packages/.staging")), [""; 0]);
}

#[tokio::test]
async fn a_file_that_is_gone_already_is_removed() {
    let env = Env::new();
    let package = env.signed("a:1.0.0");
    let repository = open(&keyed(&env, &env.path("packages")));
    fs::remove_file(&package).unwrap();
    repository
        .removal(&"a:1.0.0".parse().unwrap())
        .unwrap()
        .execute()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_mounted_image_outlives_its_file() {
    let env = Env::new();
    env.signed("a:1.0.0");
    let mut repository = open(&keyed(&env, &env.path("packages")));
    let package = repository.get(&"a:1.0.0".parse().unwrap()).unwrap();
    let request = MountRequest {
        container: package.container.clone(),
        source: package.source.clone(),
        integrity: package.integrity,
        target: env.path("run/a:1.0.0"),
        selinux_context: None,
        loop_timeout: LOOP_TIMEOUT,
    };
    let image = mount(&Kernel::detect(), request).await.unwrap();
    repository
        .removal(&package.container)
        .unwrap()
        .execute()
        .await
        .unwrap();
    repository.forget(&package.container);
    drop(package);
    assert_eq!(
        fs::read(image.path().join("data")).unwrap(),
        support::data()
    );
    image.release().await.unwrap();
}
