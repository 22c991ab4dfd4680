//! The packer `mksquashfs` (package `squashfs-tools`), which keeps extended attributes and hard
//! links.
//!
//! What is not in the packed directory, mount points and additional files, it gets as pseudo file
//! definitions. The result depends on its version, on that of its compression libraries, and, where
//! files have several extended attributes, on the order in which the file system lists them.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::source::Source;
use super::{Attributes, BlockSize, Compression, Node, NodeKind, SquashfsError, Tree, Xattrs};
use crate::limits::BLOCK_U64;

/// The oldest version that has the options used here.
const OLDEST: (u32, u32) = (4, 4);

/// How to run the program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mksquashfs<'a> {
    /// The program; without it `mksquashfs` is searched for in `PATH`.
    pub program: Option<&'a Path>,
    /// How many processors it uses; without it all.
    pub threads: Option<NonZeroUsize>,
}

/// What it packs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order<'a> {
    pub root: Option<&'a Path>,
    pub tree: &'a Tree,
    pub attributes: Attributes,
    pub compression: Compression,
    pub block_size: BlockSize,
    pub xattrs: Xattrs,
}

impl Mksquashfs<'_> {
    /// Writes an image into a file without a name in `scratch`. Returns it with its size in bytes,
    /// a multiple of 4096.
    pub(crate) fn write(
        self,
        order: Order<'_>,
        scratch: &Path,
    ) -> Result<(File, u64), SquashfsError> {
        self.check_version()?;
        let failed = SquashfsError::WriteFile;
        let directory = tempfile::Builder::new()
            .prefix(".pack-")
            .tempdir_in(scratch)
            .map_err(failed)?;
        let directory = directory.path();
        // A path that needs no thought about leading dashes or links.
        let root = match order.root {
            Some(root) => {
                fs::canonicalize(root).map_err(|error| SquashfsError::source(root, error))?
            }
            None => empty_root(directory).map_err(failed)?,
        };
        let definitions = definitions(&order, directory)?;
        fs::write(directory.join(PSEUDO), definitions).map_err(failed)?;
        let mut command = self.command();
        // Times and contents are given on the command line.
        command
            .env_remove("SOURCE_DATE_EPOCH")
            .current_dir(directory);
        command.arg(root).arg(IMAGE);
        arguments(&mut command, &order, self.threads);
        self.run(&mut command)?;

        let image = File::options()
            .read(true)
            .write(true)
            .open(directory.join(IMAGE))
            .map_err(failed)?;
        let size = image.metadata().map_err(failed)?.len();
        let padded = size.next_multiple_of(BLOCK_U64);
        image.set_len(padded).map_err(failed)?;
        Ok((image, padded))
    }

    fn name(&self) -> &Path {
        self.program.unwrap_or(Path::new("mksquashfs"))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.name());
        command.env("LC_ALL", "C").stdin(Stdio::null());
        command
    }

    fn check_version(&self) -> Result<(), SquashfsError> {
        let mut command = self.command();
        let output = self.output(command.arg("-version"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let found = text.lines().next().unwrap_or_default().to_owned();
        match version(&found) {
            Some(version) if version >= OLDEST => Ok(()),
            _ => Err(SquashfsError::MksquashfsVersion {
                program: self.name().to_owned(),
                found,
            }),
        }
    }

    fn run(&self, command: &mut Command) -> Result<(), SquashfsError> {
        let output = self.output(command)?;
        match output.status.success() {
            true => Ok(()),
            false => Err(SquashfsError::MksquashfsFailed {
                program: self.name().to_owned(),
                status: output.status,
                stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            }),
        }
    }

    fn output(&self, command: &mut Command) -> Result<std::process::Output, SquashfsError> {
        command
            .output()
            .map_err(|source| SquashfsError::Mksquashfs {
                program: self.name().to_owned(),
                source,
            })
    }
}

/// Files in the scratch directory.
const IMAGE: &str = "image";
const PSEUDO: &str = "pseudo";

fn empty_root(directory: &Path) -> io::Result<PathBuf> {
    let root = directory.join("root");
    fs::create_dir(&root)?;
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755))?;
    Ok(root)
}

/// Major and minor number in `mksquashfs version 4.5.1 (2022/03/17)`.
fn version(line: &str) -> Option<(u32, u32)> {
    let (_, version) = line.split_once("version ")?;
    let mut numbers = version.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn arguments(command: &mut Command, order: &Order<'_>, threads: Option<NonZeroUsize>) {
    let Attributes { uid, gid, mtime } = order.attributes;
    let mut option = |name: &str, value: String| {
        command.arg(name).arg(value);
    };
    option("-b", order.block_size.bytes().to_string());
    option("-force-uid", uid.to_string());
    option("-force-gid", gid.to_string());
    option("-all-time", mtime.to_string());
    option("-mkfs-time", mtime.to_string());
    option("-pf", PSEUDO.to_owned());
    if let Some(threads) = threads {
        option("-processors", threads.to_string());
    }
    command.args(match order.compression {
        Compression::None => ["-noI", "-noD", "-noF", "-noX", "-no-fragments"].as_slice(),
        Compression::Gzip => &["-comp", "gzip"],
        Compression::Lzo => &["-comp", "lzo"],
        Compression::Xz => &["-comp", "xz"],
        Compression::Zstd => &["-comp", "zstd"],
        Compression::Lz4 => &["-comp", "lz4"],
    });
    command.arg(match order.xattrs {
        Xattrs::Refuse => "-xattrs",
        Xattrs::Drop => "-no-xattrs",
    });
    command.args(["-noappend", "-no-exports", "-no-progress", "-quiet"]);
    // All that follows this is left out.
    if !order.tree.dropped.is_empty() {
        command.arg("-e").args(&order.tree.dropped);
    }
}

/// The definitions of the files that are not in the packed directory; contents go into `directory`.
fn definitions(order: &Order<'_>, directory: &Path) -> Result<Vec<u8>, SquashfsError> {
    let mut definitions = Vec::new();
    let added = order.tree.nodes.iter().filter(|(_, node)| node.added);
    for (number, (path, node)) in added.enumerate() {
        if path.as_os_str().is_empty() {
            continue;
        }
        definitions.extend(escaped(path.as_os_str())?);
        definitions.extend(definition(node, order.attributes, number, directory)?);
        definitions.push(b'\n');
    }
    Ok(definitions)
}

/// All of a definition but the name.
fn definition(
    node: &Node,
    attributes: Attributes,
    number: usize,
    directory: &Path,
) -> Result<Vec<u8>, SquashfsError> {
    let Attributes { uid, gid, .. } = attributes;
    let common = |kind| format!(" {kind} {:o} {uid} {gid}", node.mode).into_bytes();
    Ok(match &node.kind {
        NodeKind::Directory => common('d'),
        NodeKind::CharacterDevice { major, minor } => {
            let mut line = common('c');
            line.extend(format!(" {major} {minor}").into_bytes());
            line
        }
        NodeKind::Symlink(target) => {
            let mut line = common('s');
            line.push(b' ');
            line.extend(target.as_os_str().as_encoded_bytes());
            line
        }
        NodeKind::File(Source::Bytes(bytes)) => {
            let name = format!("file-{number}");
            fs::write(directory.join(&name), bytes).map_err(SquashfsError::WriteFile)?;
            let mut line = common('f');
            // A command whose output is the content.
            line.extend(format!(" cat {name}").into_bytes());
            line
        }
        // Nothing else is ever added to a tree.
        NodeKind::File(Source::File(_)) | NodeKind::Fifo => Vec::new(),
    })
}

/// A name as a pseudo file definition has it: whatever may mean something is escaped.
fn escaped(name: &OsStr) -> Result<Vec<u8>, SquashfsError> {
    let mut escaped = Vec::new();
    for &byte in name.as_encoded_bytes() {
        if byte.is_ascii_control() {
            return Err(SquashfsError::PseudoName {
                path: Path::new("/").join(name),
            });
        }
        if !byte.is_ascii_alphanumeric() && byte.is_ascii() && byte != b'/' {
            escaped.push(b'\\');
        }
        escaped.push(byte);
    }
    Ok(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        let line = "mksquashfs version 4.5.1 (2022/03/17)";
        assert_eq!(version(line), Some((4, 5)));
        assert_eq!(version("mksquashfs version 4.6-git"), Some((4, 6)));
        assert_eq!(version("mksquashfs version 10.0"), Some((10, 0)));
        assert_eq!(version("something else"), None);
    }

    #[test]
    fn names_are_escaped() {
        let escaped = |name: &str| escaped(OsStr::new(name));
        assert_eq!(escaped("a/b1").unwrap(), b"a/b1");
        assert_eq!(escaped("a b\"\\").unwrap(), b"a\\ b\\\"\\\\");
        assert_eq!(escaped("ä").unwrap(), "ä".as_bytes());
        assert!(matches!(
            escaped("a\nb"),
            Err(SquashfsError::PseudoName { path }) if path == Path::new("/a\nb")
        ));
    }
}
