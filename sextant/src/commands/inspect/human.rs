//! For people.

use std::fmt::{Display, Write};

use northstar_npk::Package;
use northstar_npk::squashfs::{Entry, EntryKind};

use super::json::layout;
use super::{Findings, Signer};
use crate::output::{Escaped, Output, chain};
use crate::sbom::{Record, Sbom, SbomError};

/// One line, as 0.9.x prints it.
pub(super) fn short(package: &Package, output: &mut Output) -> anyhow::Result<()> {
    let manifest = package.manifest();
    let resource = if manifest.is_resource() { "yes" } else { "no" };
    output.line(format_args!(
        "name: {}, version: {}, NPK version: {}, resource container: {resource}",
        manifest.name,
        manifest.version,
        package.format_version()
    ))
}

pub(super) fn print(findings: Findings, output: &mut Output) -> anyhow::Result<()> {
    let package = &findings.package;
    let image = package.image();
    field(output, "container", package.container())?;
    let version = format!(
        "{} (layout of {})",
        package.format_version(),
        layout(package)
    );
    field(output, "format version", version)?;
    signature(package, &findings.signers, output)?;
    let size = format!(
        "{} bytes at offset {}, of which squashfs {}",
        image.size, image.offset, image.squashfs_size
    );
    field(output, "image", size)?;
    let form = findings.form;
    let compression = format!("{}, blocks of {} bytes", form.compression, form.block_size);
    field(output, "compression", compression)?;
    sbom(package, &findings.sbom, output)?;

    output.line("\nmanifest.yaml:")?;
    for line in String::from_utf8_lossy(&package.archive().manifest).lines() {
        output.line(format_args!("  {}", Escaped(line)))?;
    }
    // What can be shown is shown, whatever the image is.
    output.line("\nfiles:")?;
    for entry in findings.files? {
        output.line(format_args!("  {}", Escaped(file_line(&entry))))?;
        if let Some(hash) = findings.hashes.get(&entry.path) {
            output.line(format_args!("    sha256 {}", hex::encode(hash)))?;
        }
    }
    Ok(())
}

fn field(output: &mut Output, name: &str, value: impl Display) -> anyhow::Result<()> {
    output.line(format_args!("{:<16}{}", format!("{name}:"), Escaped(value)))
}

fn signature(package: &Package, signers: &[Signer], output: &mut Output) -> anyhow::Result<()> {
    let Some(hashes) = package.hashes() else {
        return field(output, "signed", "no");
    };
    match signers {
        [] => field(
            output,
            "signed",
            "yes (by whom is not checked: name keys with --key)",
        )?,
        _ => field(output, "signed", "yes")?,
    }
    for signer in signers {
        let key = signer.key.display();
        match signer.reason() {
            None => {
                let public = hex::encode(signer.public.as_bytes());
                field(output, "signed by", format!("{key} ({public})"))?;
            }
            Some(reason) => field(output, "not valid for", format!("{key}: {reason}"))?,
        }
    }
    field(output, "comment hash", hex::encode(hashes.meta))?;
    field(output, "manifest hash", hex::encode(hashes.manifest))?;
    field(output, "root hash", hex::encode(hashes.verity_root))
}

fn sbom(
    package: &Package,
    found: &Result<Option<Sbom>, SbomError>,
    output: &mut Output,
) -> anyhow::Result<()> {
    let record = Record::of(package.manifest()).ok().flatten();
    let text = match (found, record) {
        (Ok(Some(sbom)), Some(record)) => format!(
            "{} {}, {} components, {} (sha256 {}, matches)",
            sbom.format,
            sbom.version,
            sbom.components,
            record.path.display(),
            record.sha256
        ),
        (Err(error), _) => format!("not valid: {}", chain(error)),
        (Ok(_), _) => return Ok(()),
    };
    field(output, "sbom", text)
}

/// The name of a file type, and the letter `ls` has for it.
pub(super) fn kind(kind: &EntryKind) -> (&'static str, char) {
    match kind {
        EntryKind::Directory => ("directory", 'd'),
        EntryKind::File { .. } => ("file", '-'),
        EntryKind::Symlink { .. } => ("symlink", 'l'),
        EntryKind::CharacterDevice { .. } => ("character device", 'c'),
        EntryKind::BlockDevice { .. } => ("block device", 'b'),
        EntryKind::Fifo => ("fifo", 'p'),
        EntryKind::Socket => ("socket", 's'),
    }
}

/// A file as `ls -n` shows it, without its time.
fn file_line(entry: &Entry) -> String {
    let mut line = String::new();
    line.push(kind(&entry.kind).1);
    line.push_str(&permissions(entry.mode));
    let size = match &entry.kind {
        EntryKind::File { size } => size.to_string(),
        EntryKind::CharacterDevice { major, minor } | EntryKind::BlockDevice { major, minor } => {
            format!("{major}, {minor}")
        }
        _ => String::new(),
    };
    // Writing to a string does not fail.
    let _ = write!(
        line,
        " {:>6} {:>6} {size:>10} {}",
        entry.uid,
        entry.gid,
        entry.path.display()
    );
    if let EntryKind::Symlink { target } = &entry.kind {
        let _ = write!(line, " -> {}", target.display());
    }
    if let Some(first) = &entry.link {
        let _ = write!(line, " link to {}", first.display());
    }
    line
}

fn permissions(mode: u16) -> String {
    let set = |bit: u16, letter: char| if mode & bit != 0 { letter } else { '-' };
    // A set-id or sticky bit takes the place of the execute bit, in upper case if that is not set.
    let execute =
        |bit: u16, special: u16, letter: char| match (mode & bit != 0, mode & special != 0) {
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        };
    [
        set(0o400, 'r'),
        set(0o200, 'w'),
        execute(0o100, 0o4000, 's'),
        set(0o040, 'r'),
        set(0o020, 'w'),
        execute(0o010, 0o2000, 's'),
        set(0o004, 'r'),
        set(0o002, 'w'),
        execute(0o001, 0o1000, 't'),
    ]
    .into_iter()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_read_as_ls_shows_them() {
        for (mode, expected) in [
            (0o755, "rwxr-xr-x"),
            (0o644, "rw-r--r--"),
            (0o4755, "rwsr-xr-x"),
            (0o2644, "rw-r-Sr--"),
            (0o1777, "rwxrwxrwt"),
            (0, "---------"),
        ] {
            assert_eq!(permissions(mode), expected, "{mode:o}");
        }
    }
}
