//! Writing an image.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Cursor, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use backhand::compression::Compressor;
use backhand::kind::{Kind, LE_V4_0};
use backhand::{
    BackhandError, FilesystemCompressor, FilesystemReader, FilesystemWriter, Flags, Id, NodeHeader,
};
use sha2::{Digest, Sha256};

use super::check::Content;
use super::stored::{self, STORED};
use super::{Compression, Node, NodeKind, SquashfsError, Tree};
use crate::limits::BLOCK_U64;

/// What all files of an image have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub uid: u32,
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime: u32,
}

impl Attributes {
    fn header(self, mode: u16) -> NodeHeader {
        NodeHeader::new(mode, self.uid, self.gid, self.mtime)
    }
}

/// Contents that went into an image, by path.
pub(super) type Contents = BTreeMap<PathBuf, Content>;

/// An image in a file.
#[derive(Debug)]
pub(crate) struct Written {
    /// Size in bytes, a multiple of 4096.
    pub size: u64,
    /// What was read from each file of the tree.
    pub(super) contents: Contents,
}

/// Writes `tree` as a squashfs image into the empty file `out`, padded to whole blocks.
pub(crate) fn write(
    tree: &Tree,
    attributes: Attributes,
    compression: Compression,
    out: &File,
) -> Result<Written, SquashfsError> {
    let contents = RefCell::new(Contents::new());
    let root = tree.0.get(Path::new("")).map_or(0o755, |root| root.mode);
    let template = template(attributes.header(root)).map_err(SquashfsError::Write)?;
    let mut image = FilesystemWriter::from_fs_reader(&template).map_err(SquashfsError::Write)?;
    configure(&mut image, attributes, compression).map_err(SquashfsError::Write)?;
    for (path, node) in &tree.0 {
        push(&mut image, path, node, attributes, &contents).map_err(SquashfsError::Write)?;
    }
    let mut buffered = BufWriter::new(out);
    let (superblock, used) = image.write(&mut buffered).map_err(SquashfsError::Write)?;
    buffered.flush().map_err(SquashfsError::WriteFile)?;
    drop(buffered);
    drop(image);

    let size = used.next_multiple_of(BLOCK_U64);
    finish(out, superblock.flags, size, compression).map_err(SquashfsError::WriteFile)?;
    Ok(Written {
        size,
        contents: contents.into_inner(),
    })
}

fn configure(
    image: &mut FilesystemWriter<'_, '_, '_>,
    attributes: Attributes,
    compression: Compression,
) -> Result<(), BackhandError> {
    let (kind, id) = match compression {
        Compression::None => (Kind::new_v4(&STORED), Compressor::Gzip),
        Compression::Gzip => (standard_kind()?, Compressor::Gzip),
        Compression::Zstd => (standard_kind()?, Compressor::Zstd),
    };
    image.set_kind(kind);
    image.set_compressor(FilesystemCompressor::new(id, None)?);
    image.set_time(attributes.mtime);
    image.set_no_duplicate_files(true);
    // Padding is ours: the library would add a whole block to an image that needs none.
    image.set_no_padding();
    Ok(())
}

fn standard_kind() -> Result<Kind, BackhandError> {
    Kind::from_const(LE_V4_0).map_err(|_| BackhandError::InvalidCompressionOption)
}

fn push<'c>(
    image: &mut FilesystemWriter<'_, '_, 'c>,
    path: &Path,
    node: &Node,
    attributes: Attributes,
    contents: &'c RefCell<Contents>,
) -> Result<(), BackhandError> {
    let header = attributes.header(node.mode);
    match &node.kind {
        // The root came with the template.
        NodeKind::Directory if path.as_os_str().is_empty() => Ok(()),
        NodeKind::Directory => image.push_dir(path, header),
        NodeKind::File(source) => {
            image.push_file(SourceFile::new(path, source, contents), path, header)
        }
        NodeKind::Symlink(target) => image.push_symlink(target, path, header),
        NodeKind::Fifo => image.push_fifo(path, header),
        NodeKind::Socket => image.push_socket(path, header),
        NodeKind::CharacterDevice { major, minor } => {
            image.push_char_device(device_number(*major, *minor), path, header)
        }
    }
}

/// An empty image whose root directory has these attributes.
///
/// The writer takes the root of another image as it is, while its own has setters for neither time
/// nor the ids that no other file has.
fn template(header: NodeHeader) -> Result<FilesystemReader<'static>, BackhandError> {
    let mut bytes = Cursor::new(Vec::new());
    let mut writer = FilesystemWriter::default();
    writer.set_kind(standard_kind()?);
    writer.set_compressor(FilesystemCompressor::new(Compressor::Gzip, None)?);
    writer.write(&mut bytes)?;
    bytes.rewind()?;
    let mut template = FilesystemReader::from_reader(bytes)?;
    template.root.root_mut().header = header;
    template.id_table = vec![Id::new(header.uid)];
    if header.gid != header.uid {
        template.id_table.push(Id::new(header.gid));
    }
    Ok(template)
}

/// The form which the kernel calls `new_encode_dev`.
fn device_number(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

/// Completes the image: the flags of a stored one, and zeros up to `size`.
fn finish(out: &File, flags: u16, size: u64, compression: Compression) -> io::Result<()> {
    const FLAGS_OFFSET: u64 = 24;
    let mut flags = flags | Flags::NoXattrsInArchive as u16;
    if compression == Compression::None {
        flags |= stored::FLAGS;
    }
    out.write_all_at(&flags.to_le_bytes(), FLAGS_OFFSET)?;
    out.set_len(size)
}

/// A file of the tree, opened when its turn comes, so that the number of files is not limited by
/// that of descriptors. What was read is noted, to compare it with what the image holds.
struct SourceFile<'c> {
    path: PathBuf,
    source: PathBuf,
    file: Option<File>,
    /// The end was seen. The library asks again after it.
    ended: bool,
    hasher: Sha256,
    size: u64,
    contents: &'c RefCell<Contents>,
}

impl<'c> SourceFile<'c> {
    fn new(path: &Path, source: &Path, contents: &'c RefCell<Contents>) -> SourceFile<'c> {
        SourceFile {
            path: path.to_owned(),
            source: source.to_owned(),
            file: None,
            ended: false,
            hasher: Sha256::new(),
            size: 0,
            contents,
        }
    }

    fn read_next(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(File::open(&self.source)?),
        };
        file.read(buffer)
    }
}

impl Read for SourceFile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended {
            return Ok(0);
        }
        let read = self.read_next(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            // The library reports the bare error, so the path has to travel within it.
            kind => io::Error::new(kind, format!("{}: {error}", self.source.display())),
        })?;
        self.hasher.update(buffer.get(..read).unwrap_or_default());
        self.size += read as u64;
        if read == 0 && !buffer.is_empty() {
            self.ended = true;
            self.file = None;
            let content = Content {
                size: self.size,
                hash: self.hasher.clone().finalize().into(),
            };
            self.contents
                .borrow_mut()
                .insert(self.path.clone(), content);
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_keep_twelve_bits_of_major_and_twenty_of_minor() {
        assert_eq!(device_number(1, 3), 0x0103);
        assert_eq!(device_number(10, 256), 0x0010_0a00);
        assert_eq!(device_number(200, 70000), 0x1110_c870);
    }
}
