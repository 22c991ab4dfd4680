//! Installs: what is acknowledged is there, and what is not leaves nothing.

use std::{fs, time::Duration};

use bytes::Bytes;
use northstar_runtime::{
    repository::{InstallError, Repository},
    storage::{Kernel, MountRequest, mount},
};

use crate::{
    fixture::{entries, id, install, keyed, names, open, stage, write},
    support::{self, Env, LOOP_TIMEOUT},
};

/// A repository in `repository`, and a package that is not in it.
pub fn empty(env: &Env) -> (Repository, Vec<u8>) {
    let package = fs::read(env.signed("a:1.0.0")).unwrap();
    (open(&keyed(env, &env.path("repository"))), package)
}

#[track_caller]
pub fn nothing_staged(env: &Env) {
    assert_eq!(entries(&env.path("repository/.staging")), [""; 0]);
}

#[tokio::test]
async fn an_installed_package_is_there_now_and_after_a_restart() {
    let env = Env::new();
    let (mut repository, bytes) = empty(&env);
    let staged = stage(&repository, &bytes).await.unwrap();
    assert_eq!(staged.container().to_string(), "a:1.0.0");
    assert_eq!(staged.manifest().name.as_ref(), "a");
    // Not visible before it is committed.
    assert_eq!(entries(&env.path("repository")), [".staging"]);
    let package = repository.insert(staged.commit().await.unwrap());
    assert_eq!(package.size, bytes.len() as u64);

    assert_eq!(
        entries(&env.path("repository")),
        [".staging", "a-1.0.0.npk"]
    );
    assert_eq!(fs::read(env.path("repository/a-1.0.0.npk")).unwrap(), bytes);
    nothing_staged(&env);

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

    drop(repository);
    let repository = open(&keyed(&env, &env.path("repository")));
    assert!(repository.get(&"a:1.0.0".parse().unwrap()).is_some());
}

#[tokio::test]
async fn the_size_of_the_pieces_does_not_matter() {
    let env = Env::new();
    for (index, piece) in [1, 4096, 256 * 1024, 100 * 1024 * 1024]
        .into_iter()
        .enumerate()
    {
        // The small package of the reference packer: one byte at a time takes its time.
        let bytes = fs::read(support::fixture("resource-unsigned.npk")).unwrap();
        let config = crate::fixture::unkeyed(&env.path(&format!("repository-{index}")));
        let repository = open(&config);
        let mut staging = repository.stage(bytes.len() as u64).unwrap();
        write(&mut staging, &bytes, piece).await.unwrap();
        staging.finish().await.unwrap().commit().await.unwrap();
    }
}

#[tokio::test]
async fn small_and_large_pieces_keep_their_order() {
    let env = Env::new();
    let (repository, bytes) = empty(&env);
    let mut staging = repository.stage(bytes.len() as u64).unwrap();
    let mut rest = Bytes::from(bytes.clone());
    for size in [1, 70_000, 3, 100_000, 100_000, 63 * 1024, 1]
        .iter()
        .cycle()
    {
        if rest.is_empty() {
            break;
        }
        let piece = rest.split_to(rest.len().min(*size));
        staging.write(piece).await.unwrap();
    }
    staging.finish().await.unwrap().commit().await.unwrap();
    assert_eq!(fs::read(env.path("repository/a-1.0.0.npk")).unwrap(), bytes);
}

#[tokio::test]
async fn the_first_excess_byte_ends_the_install() {
    let env = Env::new();
    let (repository, mut bytes) = empty(&env);
    let declared = bytes.len() as u64;
    bytes.push(0);
    let mut staging = repository.stage(declared).unwrap();
    let error = match write(&mut staging, &bytes, 4096).await {
        Ok(()) => staging.finish().await.map(drop).unwrap_err(),
        Err(error) => error,
    };
    assert!(
        matches!(error, InstallError::TooLong { declared: d } if d == declared),
        "{error:?}"
    );
    nothing_staged(&env);
}

#[tokio::test]
async fn a_missing_byte_is_noticed_at_the_end() {
    let env = Env::new();
    let (repository, bytes) = empty(&env);
    for length in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        let mut staging = repository.stage(bytes.len() as u64).unwrap();
        write(&mut staging, &bytes[..length], 64 * 1024)
            .await
            .unwrap();
        let error = staging.finish().await.unwrap_err();
        assert!(
            matches!(error, InstallError::TooShort { declared, received }
                if declared == bytes.len() as u64 && received == length as u64),
            "{error:?}"
        );
        nothing_staged(&env);
    }
}

#[tokio::test]
async fn after_an_error_nothing_more_is_taken() {
    let env = Env::new();
    let (repository, _) = empty(&env);
    let mut staging = repository.stage(1024 * 1024).unwrap();
    let error = staging
        .write(Bytes::from(vec![0; 512 * 1024]))
        .await
        .unwrap_err();
    assert!(matches!(error, InstallError::Package(_)), "{error:?}");
    let error = staging
        .write(Bytes::from_static(b"more"))
        .await
        .unwrap_err();
    assert!(matches!(error, InstallError::Ended), "{error:?}");
    let error = staging.finish().await.unwrap_err();
    assert!(matches!(error, InstallError::Ended), "{error:?}");
    nothing_staged(&env);
}

#[tokio::test]
async fn a_name_and_version_is_installed_once() {
    let env = Env::new();
    let (mut repository, bytes) = empty(&env);
    install(&mut repository, &bytes).await.unwrap();
    // Two at the same time are decided at the commit.
    let error = stage(&repository, &bytes)
        .await
        .unwrap()
        .commit()
        .await
        .unwrap_err();
    assert!(
        matches!(&error, InstallError::Duplicate { container, first }
            if container.to_string() == "a:1.0.0" && *first == id("test")),
        "{error:?}"
    );
    assert_eq!(
        entries(&env.path("repository")),
        [".staging", "a-1.0.0.npk"]
    );
    nothing_staged(&env);
}

#[tokio::test]
async fn a_broken_file_with_the_name_of_the_package_is_neither_replaced_nor_in_the_way() {
    let env = Env::new();
    let package = fs::read(env.signed("a:1.0.0")).unwrap();
    fs::create_dir(env.path("repository")).unwrap();
    fs::write(env.path("repository/a-1.0.0.npk"), b"broken").unwrap();
    let config = keyed(&env, &env.path("repository"));
    let (mut repository, rejected) = Repository::open(&id("test"), &config).unwrap();
    assert_eq!(names(&rejected), ["a-1.0.0.npk"]);
    install(&mut repository, &package).await.unwrap();
    assert_eq!(
        fs::read(env.path("repository/a-1.0.0.npk")).unwrap(),
        b"broken"
    );
    drop(repository);
    let (repository, rejected) = Repository::open(&id("test"), &config).unwrap();
    assert_eq!(names(&rejected), ["a-1.0.0.npk"]);
    assert_eq!(repository.packages().count(), 1);
}

#[tokio::test]
async fn whatever_is_dropped_leaves_neither_a_file_nor_a_reservation() {
    let env = Env::new();
    let package = fs::read(env.signed("a:1.0.0")).unwrap();
    let mut config = keyed(&env, &env.path("repository"));
    config.capacity_num = Some(1);
    config.capacity_size = Some(package.len() as u64);
    let repository = open(&config);
    let size = package.len() as u64;

    // With nothing written, with most of it, with all of it, and finished.
    drop(repository.stage(size).unwrap());
    let mut most = repository.stage(size).unwrap();
    write(&mut most, &package[..package.len() - 1], 4096)
        .await
        .unwrap();
    assert_eq!(entries(&env.path("repository/.staging")).len(), 1);
    let error = repository.stage(1).unwrap_err();
    assert!(
        matches!(error, InstallError::TooManyPackages { limit: 1, .. }),
        "{error:?}"
    );
    most.abandon().await;
    nothing_staged(&env);
    let mut all = repository.stage(size).unwrap();
    write(&mut all, &package, 4096).await.unwrap();
    // A thread may have a piece.
    drop(all);
    support::eventually("the room is free again", || repository.stage(size).is_ok());
    nothing_staged(&env);
    drop(stage(&repository, &package).await.unwrap());
    nothing_staged(&env);

    // While a thread works on it: the thread finishes its piece and undoes it.
    let mut staging = repository.stage(size).unwrap();
    write(&mut staging, &package, 4096).await.unwrap();
    let cancelled = tokio::time::timeout(Duration::ZERO, staging.finish()).await;
    drop(cancelled);
    support::eventually("the room is free again", || repository.stage(size).is_ok());
    nothing_staged(&env);
    assert_eq!(entries(&env.path("repository")), [".staging"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn installs_in_parallel_do_not_disturb_each_other() {
    let env = Env::new();
    let repository = std::sync::Arc::new(open(&keyed(&env, &env.path("repository"))));
    let tasks: Vec<_> = (0..8)
        .map(|index| {
            let bytes = fs::read(env.signed(&format!("p{index}:1.0.0"))).unwrap();
            let repository = std::sync::Arc::clone(&repository);
            tokio::spawn(async move {
                stage(&repository, &bytes)
                    .await
                    .unwrap()
                    .commit()
                    .await
                    .unwrap()
                    .container
            })
        })
        .collect();
    for (index, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await.unwrap().to_string(), format!("p{index}:1.0.0"));
    }
    nothing_staged(&env);
    drop(repository);
    assert_eq!(
        open(&keyed(&env, &env.path("repository")))
            .packages()
            .count(),
        8
    );
}
