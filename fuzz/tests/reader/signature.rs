//! Bytes are verified before they mean anything.

use northstar_fuzz::forge::{self, Contents, Image, Layout};
use northstar_fuzz::keys::{PUBLIC, SECRET};
use northstar_fuzz::{memory, scratch};
use northstar_npk::key::SecretKey;
use northstar_npk::signature::{Hashes, SignatureError};
use northstar_npk::{OpenError, Package};

use crate::bounds::READING;
use crate::{COMMENT, MANIFEST, turn};

/// Whatever the manifest is, a signature of somebody else is what a package is refused for.
#[test]
fn the_signature_is_verified_before_any_yaml_is_parsed() {
    let _turn = turn();
    let other = SecretKey::generate().unwrap();
    let bomb = [b"a: &a [".as_slice(), &b"[".repeat(60_000)].concat();
    for manifest in [b"\xff\xfe\0".as_slice(), b"not: [yaml", &bomb, MANIFEST] {
        let hashes = Hashes {
            meta: forge::sha256(COMMENT),
            manifest: forge::sha256(manifest),
            verity_root: forge::sha256(&[0; 4096]),
            verity_offset: 4096,
        };
        let signed = |signature: &[u8], manifest: &[u8]| {
            let image = [vec![0; 4096], forge::superblock(1, b"")].concat();
            let (front, end) = forge::archive(&Contents {
                layout: Layout::Current,
                comment: COMMENT,
                manifest,
                signature: Some(signature),
                image: Image {
                    size: image.len() as u32,
                    crc32: crc32fast::hash(&image),
                },
            });
            let bytes = [front, image, end].concat();
            scratch::with_file(bytes.len() as u64, &[(0, &bytes)], |file| {
                memory::measured(|| Package::open(file, Some(&PUBLIC)))
            })
        };
        let (foreign, taken) = signed(&hashes.sign(&other), manifest);
        assert!(
            matches!(foreign, Err(OpenError::Signature(SignatureError::Invalid))),
            "{foreign:?}"
        );
        // A parser would have taken more than the archive does.
        assert!(taken <= READING, "{taken}");

        // A document that is no list of hashes is not looked at either.
        let mut garbage = b"&a [*a, *a]\n---\nsignature: ".to_vec();
        garbage.extend(&hashes.sign(&other)[hashes.to_document().len() + 15..]);
        let (refused, _) = signed(&garbage, manifest);
        assert!(
            matches!(refused, Err(OpenError::Signature(SignatureError::Invalid))),
            "{refused:?}"
        );

        // With a valid signature of another manifest it is the hash.
        let (swapped, taken) = signed(&hashes.sign(&SECRET), b"a: b\n");
        assert!(
            matches!(
                swapped,
                Err(OpenError::Hash {
                    part: "manifest.yaml"
                })
            ),
            "{swapped:?}"
        );
        assert!(taken <= READING, "{taken}");
    }
}
