//! `inspect`.

use std::fmt::Write;
use std::fs::File;
use std::path::PathBuf;

use anyhow::Context;
use northstar_npk::squashfs::{self, Entry, EntryKind};
use northstar_npk::{Package, archive::Layout};
use serde_json::{Value, json};

use crate::output::{Escaped, Output};

/// Show what is in a package: manifest, hashes, and the files of the image
///
/// Nothing is checked beyond the layout: use verify for that.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The package
    npk: PathBuf,
    /// Print one JSON object instead
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments, output: &mut Output) -> anyhow::Result<()> {
    let path = arguments.npk.display();
    let file = File::open(&arguments.npk).with_context(|| format!("failed to open {path}"))?;
    let package = Package::open(&file, None).with_context(|| format!("{path} is not a package"))?;
    let list = || {
        squashfs::list(&file, package.image())
            .with_context(|| format!("failed to list the image of {path}"))
    };
    if arguments.json {
        return output.line(to_json(&package, &list()?)?);
    }
    // What can be shown is shown, whatever the image is.
    show(&package, output)?;
    output.line("\nfiles:")?;
    list()?
        .iter()
        .try_for_each(|entry| output.line(format_args!("  {}", Escaped(file_line(entry)))))
}

fn to_json(package: &Package, files: &[Entry]) -> anyhow::Result<Value> {
    let image = package.image();
    let hashes = package.hashes().map(|hashes| {
        json!({
            "meta": hex::encode(hashes.meta),
            "manifest": hex::encode(hashes.manifest),
            "verity": hex::encode(hashes.verity_root),
        })
    });
    Ok(json!({
        "container": package.container(),
        "format_version": package.format_version(),
        "layout": layout(package),
        "signed": hashes.is_some(),
        "hashes": hashes,
        "image": {
            "offset": image.offset,
            "size": image.size,
            "squashfs_size": image.squashfs_size,
            "salt": image.verity.as_ref().map(|verity| hex::encode(&verity.salt)),
        },
        "manifest": serde_json::to_value(package.manifest())?,
        "files": files.iter().map(file_to_json).collect::<Vec<_>>(),
    }))
}

fn layout(package: &Package) -> &'static str {
    match package.archive().layout {
        Layout::Current => "0.9.2",
        Layout::Legacy => "0.9.1",
    }
}

fn file_to_json(entry: &Entry) -> Value {
    let mut file = json!({
        "path": entry.path.to_string_lossy(),
        "mode": format!("{:04o}", entry.mode),
        "uid": entry.uid,
        "gid": entry.gid,
        "mtime": entry.mtime,
        "type": kind(&entry.kind).0,
    });
    if let Some(fields) = file.as_object_mut() {
        let mut add = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        match &entry.kind {
            EntryKind::File { size } => {
                add("size", json!(size));
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
    }
    file
}

/// The name of a file type, and the letter `ls` has for it.
fn kind(kind: &EntryKind) -> (&'static str, char) {
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

fn show(package: &Package, output: &mut Output) -> anyhow::Result<()> {
    let image = package.image();
    output.line(format_args!("container:      {}", package.container()))?;
    output.line(format_args!(
        "format version: {} (layout of {})",
        package.format_version(),
        layout(package)
    ))?;
    match package.hashes() {
        None => output.line("signed:         no")?,
        Some(hashes) => {
            output.line("signed:         yes (signature not checked)")?;
            for (name, hash) in [
                ("comment hash:   ", hashes.meta),
                ("manifest hash:  ", hashes.manifest),
                ("root hash:      ", hashes.verity_root),
            ] {
                output.line(format_args!("{name}{}", hex::encode(hash)))?;
            }
        }
    }
    output.line(format_args!(
        "image:          {} bytes at offset {}, of which squashfs {}",
        image.size, image.offset, image.squashfs_size
    ))?;
    output.line("\nmanifest.yaml:")?;
    for line in String::from_utf8_lossy(&package.archive().manifest).lines() {
        output.line(format_args!("  {}", Escaped(line)))?;
    }
    Ok(())
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
