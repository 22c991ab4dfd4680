//! Installs: what is acknowledged is there, and what is not leaves nothing.

use std::{
    fs::{self, File},
    ops::Range,
    path::Path,
    time::Duration,
};

use bytes::Bytes;
use northstar_npk::{OpenError as PackageError, Package, archive::ArchiveError, key::SecretKey};
use northstar_runtime::{
    config,
    repository::{InstallError, Repository},
    storage::{Kernel, MountRequest, mount},
};

use crate::{
    fixture::{Tmpfs, entries, id, install, keyed, names, open, stage, write},
    support::{self, Env, LOOP_TIMEOUT},
};

/// A repository in `repository`, and a package that is not in it.
fn empty(env: &Env) -> (Repository, Vec<u8>) {
    let package = fs::read(env.signed("a:1.0.0")).unwrap();
    (open(&keyed(env, &env.path("repository"))), package)
}

#[track_caller]
fn nothing_staged(env: &Env) {
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
async fn what_was_taken_does_not_keep_the_buffer_it_came_in() {
    let env = Env::new();
    let (repository, bytes) = empty(&env);
    let mut staging = repository.stage(bytes.len() as u64).unwrap();
    for byte in &bytes {
        // A sender of single bytes, each received in a large buffer.
        let mut buffer = vec![0; 128 * 1024];
        buffer[0] = *byte;
        let buffer = Bytes::from(buffer);
        staging.write(buffer.slice(..1)).await.unwrap();
        assert!(buffer.is_unique());
    }
    staging.finish().await.unwrap();
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
async fn packages_that_the_key_does_not_vouch_for_are_refused() {
    let env = Env::new();
    let (repository, _) = empty(&env);
    let other = fs::read(env.pack("b:1.0.0", Some(&SecretKey::generate().unwrap()))).unwrap();
    let error = stage(&repository, &other).await.unwrap_err();
    assert!(
        matches!(error, InstallError::Package(PackageError::Signature(_))),
        "{error:?}"
    );
    let unsigned = fs::read(env.unsigned("c:1.0.0")).unwrap();
    let error = stage(&repository, &unsigned).await.unwrap_err();
    assert!(
        matches!(error, InstallError::Package(PackageError::Unsigned)),
        "{error:?}"
    );
    nothing_staged(&env);
    assert_eq!(entries(&env.path("repository")), [".staging"]);
}

#[tokio::test]
async fn a_damaged_image_is_refused_and_so_is_a_forged_one() {
    let env = Env::new();
    let (repository, bytes) = empty(&env);
    let name = env.path("packages/a-1.0.0.npk");
    refuses_other_images(&repository, bytes, &Image::of(&name)).await;
    nothing_staged(&env);
}

/// The salt of its hash tree is no hash of the manifest, so that it can be hashed after its last byte at the earliest.
#[tokio::test]
async fn so_it_is_with_packages_of_0_9_2() {
    let env = Env::new();
    let config = config::Repository {
        key: Some(support::fixture("fixture.pub")),
        ..keyed(&env, &env.path("repository"))
    };
    let mut repository = open(&config);
    let name = support::fixture("resource-zstd.npk");
    let bytes = fs::read(&name).unwrap();
    refuses_other_images(&repository, bytes.clone(), &Image::of(&name)).await;
    nothing_staged(&env);
    install(&mut repository, &bytes).await.unwrap();
}

/// Where the image of a package is, and its data.
struct Image {
    all: Range<usize>,
    data: Range<usize>,
}

impl Image {
    fn of(name: &Path) -> Image {
        let package = Package::open(&File::open(name).unwrap(), None).unwrap();
        let image = package.image();
        let start = image.offset as usize;
        Image {
            all: start..start + image.size as usize,
            data: start..start + image.squashfs_size as usize,
        }
    }
}

async fn refuses_other_images(repository: &Repository, mut bytes: Vec<u8>, image: &Image) {
    let before = crc32(&bytes[image.all.clone()]);
    bytes[image.data.start + image.data.len() / 2] ^= 1;
    let error = stage(repository, &bytes).await.unwrap_err();
    assert!(
        matches!(
            error,
            InstallError::Package(PackageError::Archive(ArchiveError::Checksum { .. }))
        ),
        "{error:?}"
    );

    // With the checksum put right everywhere, only the signed root hash tells.
    let after = crc32(&bytes[image.all.clone()]).to_le_bytes();
    let places: Vec<_> = bytes
        .windows(4)
        .enumerate()
        .filter_map(|(at, window)| {
            let is_outside = !image.all.contains(&at);
            (window == before.to_le_bytes() && is_outside).then_some(at)
        })
        .collect();
    assert_eq!(places.len(), 2, "local header and central directory");
    for at in places {
        bytes[at..at + 4].copy_from_slice(&after);
    }
    let error = stage(repository, &bytes).await.unwrap_err();
    assert!(matches!(error, InstallError::Image(_)), "{error:?}");
}

/// CRC-32 as ZIP has it (polynomial 0xedb88320, reflected).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 * (crc & 1))
        })
    })
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
    drop(most);
    nothing_staged(&env);
    let mut all = repository.stage(size).unwrap();
    write(&mut all, &package, 4096).await.unwrap();
    drop(all);
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
