//! `signature.yaml`: the hashes of a package and the signature over them.
//!
//! It is a pair of YAML documents in one exact spelling, so it is read without a YAML parser:
//! what differs from the spelling by one byte is refused. The signature is checked over the raw
//! bytes of the first document before they are parsed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};

use crate::key::{PublicKey, SIGNATURE_SIZE, SecretKey};
use crate::limits::BLOCK_U64;

/// A SHA-256 digest.
pub type Hash = [u8; 32];

/// What stands between the first document and the signature.
const SEPARATOR: &str = "---\nsignature: ";
/// 64 bytes in base64 with padding.
const BASE64_SIZE: usize = 88;

/// Why `signature.yaml` is not accepted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignatureError {
    /// The second document is not the separator and one signature.
    #[error("signature.yaml does not end in `---` and one base64 signature")]
    Malformed,
    /// The signature was not made over these bytes with the secret half of the key.
    #[error("signature.yaml is not signed with this key")]
    Invalid,
    /// The first document is not the list of hashes in its exact spelling.
    #[error("signature.yaml has no well-formed {field}")]
    Field {
        /// The first field that is not as it has to be.
        field: &'static str,
    },
    /// The image would begin or end within a block.
    #[error("verity-offset {offset} is not a positive multiple of {BLOCK_U64}")]
    Offset {
        /// The offset in bytes.
        offset: u64,
    },
}

/// The first document: what a signature vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hashes {
    /// Hash of the archive comment.
    pub meta: Hash,
    /// Hash of `manifest.yaml`.
    pub manifest: Hash,
    /// Root hash of the dm-verity tree.
    pub verity_root: Hash,
    /// Where in `fs.img` the verity superblock starts in bytes: the size of the squashfs image.
    pub verity_offset: u64,
}

impl Hashes {
    /// The document as it is signed.
    pub fn to_document(&self) -> String {
        format!(
            "meta:\n  hash: {}\nmanifest.yaml:\n  hash: {}\n\
             fs.img:\n  verity-hash: {}\n  verity-offset: {}\n",
            hex::encode(self.meta),
            hex::encode(self.manifest),
            hex::encode(self.verity_root),
            self.verity_offset
        )
    }

    /// The whole of `signature.yaml`, signed with `key`.
    pub fn sign(&self, key: &SecretKey) -> Vec<u8> {
        self.with_signature(&key.sign(self.to_document().as_bytes()))
    }

    /// The whole of `signature.yaml` with a signature made elsewhere, which is not checked.
    pub(crate) fn with_signature(&self, signature: &[u8; SIGNATURE_SIZE]) -> Vec<u8> {
        let mut text = self.to_document();
        text.push_str(SEPARATOR);
        text.push_str(&BASE64.encode(signature));
        text.into_bytes()
    }

    /// Checks the signature with `key` and reads the hashes it vouches for.
    pub fn verify(bytes: &[u8], key: &PublicKey) -> Result<Hashes, SignatureError> {
        let (document, signature) = split(bytes)?;
        if !key.verifies(document, &signature) {
            return Err(SignatureError::Invalid);
        }
        Hashes::parse(document)
    }

    /// Reads the hashes without a check of the signature: nobody vouches for the result.
    pub fn read_unauthenticated(bytes: &[u8]) -> Result<Hashes, SignatureError> {
        let (document, _) = split(bytes)?;
        Hashes::parse(document)
    }

    fn parse(document: &[u8]) -> Result<Hashes, SignatureError> {
        let malformed = |field| SignatureError::Field { field };
        let text = std::str::from_utf8(document).map_err(|_| malformed("UTF-8"))?;
        let mut text = text;
        let meta = hash(&mut text, "meta:\n  hash: ").ok_or(malformed("meta"))?;
        let manifest =
            hash(&mut text, "manifest.yaml:\n  hash: ").ok_or(malformed("manifest.yaml"))?;
        let verity_root =
            hash(&mut text, "fs.img:\n  verity-hash: ").ok_or(malformed("verity-hash"))?;
        let verity_offset = text
            .strip_prefix("  verity-offset: ")
            .and_then(|rest| rest.strip_suffix('\n'))
            .and_then(decimal)
            .ok_or(malformed("verity-offset"))?;
        if verity_offset == 0 || verity_offset % BLOCK_U64 != 0 {
            return Err(SignatureError::Offset {
                offset: verity_offset,
            });
        }
        Ok(Hashes {
            meta,
            manifest,
            verity_root,
            verity_offset,
        })
    }
}

/// The hash of a small content.
pub(crate) fn sha256(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

fn split(bytes: &[u8]) -> Result<(&[u8], [u8; SIGNATURE_SIZE]), SignatureError> {
    let (rest, encoded) = bytes
        .split_last_chunk::<BASE64_SIZE>()
        .ok_or(SignatureError::Malformed)?;
    // The document ends in a line feed, so that the separator is a line of its own.
    let document = rest
        .strip_suffix(SEPARATOR.as_bytes())
        .filter(|document| document.ends_with(b"\n"))
        .ok_or(SignatureError::Malformed)?;
    let mut signature = [0; SIGNATURE_SIZE];
    match BASE64.decode_slice(encoded, &mut signature) {
        Ok(SIGNATURE_SIZE) => Ok((document, signature)),
        _ => Err(SignatureError::Malformed),
    }
}

/// Takes `prefix`, a hash in lower case and the end of the line off the front of `text`.
fn hash(text: &mut &str, prefix: &str) -> Option<Hash> {
    let (digits, rest) = text.strip_prefix(prefix)?.split_once('\n')?;
    if digits.bytes().any(|digit| digit.is_ascii_uppercase()) {
        return None;
    }
    let mut hash = Hash::default();
    hex::decode_to_slice(digits, &mut hash).ok()?;
    *text = rest;
    Some(hash)
}

/// A decimal number without sign, leading zeros or anything around it.
fn decimal(digits: &str) -> Option<u64> {
    let number: u64 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes() -> Hashes {
        Hashes {
            meta: [0x01; 32],
            manifest: [0xab; 32],
            verity_root: [0xff; 32],
            verity_offset: 8192,
        }
    }

    fn key() -> SecretKey {
        SecretKey::generate().unwrap()
    }

    #[test]
    fn a_signed_document_verifies() {
        let key = key();
        let signed = hashes().sign(&key);
        assert_eq!(Hashes::verify(&signed, &key.public()), Ok(hashes()));
        assert_eq!(Hashes::read_unauthenticated(&signed), Ok(hashes()));
    }

    #[test]
    fn another_key_is_refused_before_parsing() {
        // Not even parseable, and still the signature is what it is refused for.
        let key = key();
        let mut bytes = b"garbage\n".to_vec();
        bytes.extend_from_slice(SEPARATOR.as_bytes());
        bytes.extend_from_slice(BASE64.encode(key.sign(b"other\n")).as_bytes());
        assert_eq!(
            Hashes::verify(&bytes, &key.public()),
            Err(SignatureError::Invalid)
        );
    }

    #[test]
    fn a_signature_over_something_else_than_hashes_is_refused() {
        let key = key();
        for (document, field) in [
            ("garbage\n", "meta"),
            ("meta:\n  hash: 01\n", "meta"),
            (&hashes().to_document().replace("ab", "AB"), "manifest.yaml"),
            (
                &hashes().to_document().replace("verity-hash", "verity-hush"),
                "verity-hash",
            ),
            (
                &hashes().to_document().replace("8192", "08192"),
                "verity-offset",
            ),
            (
                &hashes().to_document().replace("8192", "+8192"),
                "verity-offset",
            ),
            (
                &hashes().to_document().replace("8192", "8192 "),
                "verity-offset",
            ),
            (
                &hashes()
                    .to_document()
                    .replace("8192", "99999999999999999999"),
                "verity-offset",
            ),
            (&(hashes().to_document() + "more: 1\n"), "verity-offset"),
        ] {
            let mut bytes = document.as_bytes().to_vec();
            bytes.extend_from_slice(SEPARATOR.as_bytes());
            bytes.extend_from_slice(BASE64.encode(key.sign(document.as_bytes())).as_bytes());
            assert_eq!(
                Hashes::verify(&bytes, &key.public()),
                Err(SignatureError::Field { field }),
                "{document}"
            );
        }
    }

    #[test]
    fn an_offset_within_a_block_is_refused() {
        let key = key();
        for offset in [0, 1, 4095, 8191] {
            let signed = Hashes {
                verity_offset: offset,
                ..hashes()
            }
            .sign(&key);
            assert_eq!(
                Hashes::verify(&signed, &key.public()),
                Err(SignatureError::Offset { offset })
            );
        }
    }

    #[test]
    fn every_changed_bit_and_every_other_length_is_refused() {
        let key = key();
        let public = key.public();
        let signed = hashes().sign(&key);
        for bit in 0..signed.len() * 8 {
            let mut changed = signed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let error = Hashes::verify(&changed, &public).unwrap_err();
            assert!(
                matches!(error, SignatureError::Malformed | SignatureError::Invalid),
                "bit {bit}: {error}"
            );
        }
        for length in 0..signed.len() {
            let error = Hashes::verify(&signed[..length], &public).unwrap_err();
            assert_eq!(error, SignatureError::Malformed, "length {length}");
        }
        for appended in ["\n", " ", "=", "A"] {
            let mut changed = signed.clone();
            changed.extend_from_slice(appended.as_bytes());
            let error = Hashes::verify(&changed, &public).unwrap_err();
            assert_eq!(error, SignatureError::Malformed, "appended {appended:?}");
        }
    }
}
