//! One JSON object for scripts.

use std::collections::BTreeMap;
use std::mem;
use std::path::{Path, PathBuf};

use northstar_npk::archive::Layout;
use northstar_npk::squashfs::{Entry, EntryKind};
use northstar_npk::{Image, Package};
use serde_json::{Value, json};

use super::{Findings, Signer};
use crate::output::{Output, chain};
use crate::sbom::{Record, Sbom, SbomError};

pub(super) fn print(mut findings: Findings, output: &mut Output) -> anyhow::Result<()> {
    let files = mem::replace(&mut findings.files, Ok(Vec::new()))?;
    let package = &findings.package;
    let hashes = package.hashes().map(|hashes| {
        json!({
            "meta": hex::encode(hashes.meta),
            "manifest": hex::encode(hashes.manifest),
            "verity": hex::encode(hashes.verity_root),
        })
    });
    let files: Vec<Value> = files
        .iter()
        .map(|entry| file(entry, &findings.hashes))
        .collect();
    output.line(json!({
        "container": package.container(),
        "format_version": package.format_version(),
        "layout": layout(package),
        "signed": hashes.is_some(),
        "signers": findings.signers.iter().map(signer).collect::<Vec<_>>(),
        "hashes": hashes,
        "image": image(package.image(), &findings),
        "sbom": sbom(package, &findings.sbom),
        "manifest": serde_json::to_value(package.manifest())?,
        "files": files,
    }))
}

pub(super) fn layout(package: &Package) -> &'static str {
    match package.archive().layout {
        Layout::Current => "0.9.2",
        Layout::Legacy => "0.9.1",
    }
}

fn signer(signer: &Signer) -> Value {
    json!({
        "key": signer.key.to_string_lossy(),
        "public": hex::encode(signer.public.as_bytes()),
        "verifies": signer.refused.is_none(),
        "reason": signer.reason(),
    })
}

fn image(image: &Image, findings: &Findings) -> Value {
    json!({
        "offset": image.offset,
        "size": image.size,
        "squashfs_size": image.squashfs_size,
        "compression": findings.form.compression,
        "block_size": findings.form.block_size,
        "salt": image.verity.as_ref().map(|verity| hex::encode(&verity.salt)),
    })
}

/// What the manifest says, and whether it is true.
fn sbom(package: &Package, found: &Result<Option<Sbom>, SbomError>) -> Value {
    let record = Record::of(package.manifest()).ok().flatten();
    match found {
        Ok(None) => Value::Null,
        Ok(Some(sbom)) => json!({
            "record": record,
            "components": sbom.components,
            "matches": true,
            "reason": Value::Null,
        }),
        Err(error) => json!({
            "record": record,
            "components": Value::Null,
            "matches": false,
            "reason": chain(error),
        }),
    }
}

fn file(entry: &Entry, hashes: &BTreeMap<PathBuf, [u8; 32]>) -> Value {
    let mut file = json!({
        "path": entry.path.to_string_lossy(),
        "mode": format!("{:04o}", entry.mode),
        "uid": entry.uid,
        "gid": entry.gid,
        "mtime": entry.mtime,
        "type": super::human::kind(&entry.kind).0,
    });
    if let Some(fields) = file.as_object_mut() {
        let mut add = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        match &entry.kind {
            EntryKind::File { size } => {
                add("size", json!(size));
                let link = entry.link.as_deref();
                add("link", json!(link.map(Path::to_string_lossy)));
            }
            EntryKind::Symlink { target } => {
                add("target", json!(target.to_string_lossy()));
            }
            EntryKind::CharacterDevice { major, minor }
            | EntryKind::BlockDevice { major, minor } => {
                add("major", json!(major));
                add("minor", json!(minor));
            }
            EntryKind::Directory | EntryKind::Fifo | EntryKind::Socket => {}
        }
        if let Some(hash) = hashes.get(&entry.path) {
            add("sha256", json!(hex::encode(hash)));
        }
    }
    file
}
