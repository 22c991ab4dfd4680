//! `attach-signature`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use northstar_npk::key::{PublicKey, SIGNATURE_SIZE};
use northstar_npk::sign;

use super::open;
use crate::output::Output;

/// No form of a signature is longer, with some space around it.
const LIMIT: u64 = 256;

/// Put a signature that was made elsewhere into a package
///
/// It has to be an Ed25519 signature over what digest prints, and is checked before anything is
/// written.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The package, signed or not
    npk: PathBuf,
    /// File with the signature: its 64 bytes as they are, or in hexadecimal digits, or in base64
    #[arg(short, long, value_name = "FILE")]
    signature: PathBuf,
    /// Public key that the signature is checked with
    #[arg(short, long, value_name = "PUB")]
    key: PathBuf,
    /// The signed package, or a directory in which it is named NAME-VERSION.npk; without it the
    /// package itself is replaced
    #[arg(short, long, value_name = "DIR|FILE")]
    out: Option<PathBuf>,
}

/// Why a file is not a signature.
#[derive(Debug, thiserror::Error)]
enum SignatureFileError {
    #[error("failed to read signature {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "{} is not a signature: it has to hold {SIGNATURE_SIZE} bytes as they are, or in \
         hexadecimal digits, or in base64",
        path.display()
    )]
    Form { path: PathBuf },
}

pub(crate) fn run(arguments: &Arguments, output: &mut Output) -> anyhow::Result<()> {
    let key = PublicKey::read(&arguments.key)?;
    let signature = read_signature(&arguments.signature)?;
    let file = open(&arguments.npk)?;
    let out = arguments.out.as_deref().unwrap_or(&arguments.npk);
    let signed = sign::attach_signature(&file, &signature, &key, out)
        .with_context(|| format!("failed to sign {}", arguments.npk.display()))?;
    output.line(signed.path.display())
}

fn read_signature(path: &Path) -> Result<[u8; SIGNATURE_SIZE], SignatureFileError> {
    let read = |source| SignatureFileError::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(read)?;
    file.take(LIMIT).read_to_end(&mut bytes).map_err(read)?;
    parse_signature(&bytes).ok_or_else(|| SignatureFileError::Form {
        path: path.to_owned(),
    })
}

fn parse_signature(bytes: &[u8]) -> Option<[u8; SIGNATURE_SIZE]> {
    // The other forms are longer, so that this is not taken for one of them.
    if let Ok(raw) = bytes.try_into() {
        return Some(raw);
    }
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let decoded = match text.len() {
        128 => hex::decode(text).ok()?,
        88 => STANDARD.decode(text).ok()?,
        86 => STANDARD_NO_PAD.decode(text).ok()?,
        _ => return None,
    };
    decoded.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_read_in_three_forms() {
        let signature: [u8; 64] = std::array::from_fn(|i| 200 + (i % 50) as u8);
        let hex = hex::encode(signature);
        let base64 = STANDARD.encode(signature);
        for text in [
            hex.clone(),
            hex.to_uppercase(),
            format!("{hex}\n"),
            base64.clone(),
            format!(" {base64}\r\n"),
            base64.trim_end_matches('=').to_owned(),
        ] {
            assert_eq!(parse_signature(text.as_bytes()), Some(signature), "{text}");
        }
        assert_eq!(parse_signature(&signature), Some(signature));
    }

    #[test]
    fn other_files_are_no_signatures() {
        let hex = "0".repeat(127);
        let base64 = "A".repeat(87);
        for text in [
            "",
            &hex,
            &base64,
            &"x".repeat(128),
            &"0".repeat(130),
            &"-".repeat(88),
        ] {
            assert_eq!(parse_signature(text.as_bytes()), None, "{text}");
        }
        for length in [0, 63, 65, 255] {
            assert_eq!(parse_signature(&vec![0xff; length]), None, "{length}");
        }
    }
}
