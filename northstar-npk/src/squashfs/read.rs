//! Opening and listing an image.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use backhand::kind::Kind;
use backhand::{FilesystemReader, InnerNode, Node as ImageNode, Squashfs, SquashfsFileReader};

use super::SquashfsError;
use super::decompress::READING;
use super::links::Links;
use super::shape;
use super::superblock::Superblock;
use crate::package::Image;
use crate::section::Section;

/// One file of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Absolute path in the image.
    pub path: PathBuf,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits, with set-id and sticky bits.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of last modification in seconds since 1970.
    pub mtime: u32,
    /// The first name of the same file, if this is another one: a hard link.
    pub link: Option<PathBuf>,
}

/// The types of files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// Directory.
    Directory,
    /// Regular file.
    File {
        /// Size in bytes.
        size: u64,
    },
    /// Symbolic link.
    Symlink {
        /// What it points to.
        target: PathBuf,
    },
    /// Character device.
    CharacterDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// Block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// Named pipe.
    Fifo,
    /// Unix domain socket.
    Socket,
}

/// Lists all files of the image in `file`, parents before their children.
pub fn list(file: &File, image: &Image) -> Result<Vec<Entry>, SquashfsError> {
    let (reader, mut links) = open_with_links(file, image)?;
    let entries = reader.files().map(|node| Entry {
        link: links.remove(&node.fullpath),
        ..entry(node)
    });
    Ok(entries.collect())
}

/// Opens the squashfs image of a package.
pub(crate) fn open<'a>(
    file: &'a File,
    image: &Image,
) -> Result<FilesystemReader<'a>, SquashfsError> {
    open_with_links(file, image).map(|(reader, _)| reader)
}

/// [`open`], with the further names of files.
pub(crate) fn open_with_links<'a>(
    file: &'a File,
    image: &Image,
) -> Result<(FilesystemReader<'a>, Links), SquashfsError> {
    let superblock = Superblock::read(file, image.offset, image.squashfs_size)?;
    let links = shape::check(file, image.offset, &superblock)?;
    Ok((open_checked(file, image)?, links))
}

/// [`open`] for an image that was opened before.
pub(super) fn open_checked<'a>(
    file: &'a File,
    image: &Image,
) -> Result<FilesystemReader<'a>, SquashfsError> {
    let section = Section::new(file, image.offset, image.squashfs_size);
    let kind = Kind::new_v4(&READING);
    let tables = Squashfs::from_reader_with_offset_and_kind(BufReader::new(section), 0, kind)
        .map_err(SquashfsError::Read)?;
    tables.into_filesystem_reader().map_err(SquashfsError::Read)
}

pub(crate) fn entry(node: &ImageNode<SquashfsFileReader>) -> Entry {
    let kind = match &node.inner {
        InnerNode::Dir(_) => EntryKind::Directory,
        InnerNode::File(file) => EntryKind::File {
            size: file.file_len() as u64,
        },
        InnerNode::Symlink(link) => EntryKind::Symlink {
            target: link.link.clone(),
        },
        InnerNode::CharacterDevice(device) => {
            let (major, minor) = device_numbers(device.device_number);
            EntryKind::CharacterDevice { major, minor }
        }
        InnerNode::BlockDevice(device) => {
            let (major, minor) = device_numbers(device.device_number);
            EntryKind::BlockDevice { major, minor }
        }
        InnerNode::NamedPipe => EntryKind::Fifo,
        InnerNode::Socket => EntryKind::Socket,
    };
    Entry {
        path: node.fullpath.clone(),
        kind,
        mode: node.header.permissions,
        uid: node.header.uid,
        gid: node.header.gid,
        mtime: node.header.mtime,
        link: None,
    }
}

fn device_numbers(number: u32) -> (u32, u32) {
    let major = (number >> 8) & 0xfff;
    let minor = (number & 0xff) | ((number >> 12) & 0xf_ff00);
    (major, minor)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::path::Path;
    use std::process::Command;

    use super::*;

    #[test]
    fn images_of_mksquashfs_read_in_every_compression() {
        let directory = tempfile::tempdir().unwrap();
        let tree = directory.path().join("tree");
        fs::create_dir(&tree).unwrap();
        // Text, noise and a mixture, each longer than a block.
        let noise = |n: u32| n.wrapping_mul(0x9e37_79b9).to_le_bytes();
        let text: Vec<u8> = (0..60_000)
            .flat_map(|n| format!("{n}\n").into_bytes())
            .collect();
        let random: Vec<u8> = (0..90_000).flat_map(noise).collect();
        let mixed: Vec<u8> = text
            .chunks(3000)
            .zip(random.chunks(2000))
            .flat_map(|(text, random)| [text, random].concat())
            .collect();
        let files = [
            ("mixed", mixed),
            ("random", random),
            ("small", b"x".to_vec()),
            ("text", text),
        ];
        for (name, content) in &files {
            fs::write(tree.join(name), content).unwrap();
        }
        for compression in ["gzip", "lz4", "lzo", "xz", "zstd"] {
            let path = directory.path().join(compression);
            let output = Command::new("mksquashfs")
                .args([&tree, &path])
                .args(["-comp", compression, "-no-progress"])
                .output()
                .unwrap_or_else(|error| {
                    panic!("mksquashfs (package squashfs-tools) cannot be run: {error}")
                });
            assert!(output.status.success(), "{output:?}");
            let file = File::open(&path).unwrap();
            let size = file.metadata().unwrap().len();
            let image = Image {
                offset: 0,
                size,
                squashfs_size: size,
                verity: None,
            };
            let reader = open(&file, &image).unwrap();
            let found: Vec<_> = reader.files().skip(1).collect();
            assert_eq!(found.len(), files.len(), "{compression}");
            for (found, (name, content)) in found.into_iter().zip(&files) {
                assert_eq!(found.fullpath, Path::new("/").join(name));
                let InnerNode::File(file) = &found.inner else {
                    panic!("{name} is no file");
                };
                let mut read = Vec::new();
                let mut source = reader.file(file).reader_checked().unwrap();
                source.read_to_end(&mut read).unwrap();
                assert!(read == *content, "{compression} {name}");
            }
        }
    }
}
