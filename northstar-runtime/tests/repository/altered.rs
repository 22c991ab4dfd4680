//! Packages that are not what their signature says.

use std::{
    fs::{self, File},
    ops::Range,
    path::Path,
};

use northstar_npk::{OpenError as PackageError, Package, archive::ArchiveError, key::SecretKey};
use northstar_runtime::{
    config,
    repository::{InstallError, Repository},
};

use crate::{
    fixture::{entries, install, keyed, open, stage},
    install::{empty, nothing_staged},
    support::{self, Env},
};

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
