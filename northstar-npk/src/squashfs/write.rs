//! Writing an image with the library.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufWriter, Cursor, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use backhand::compression::{CompressionAction, Compressor, DefaultCompressor};
use backhand::kind::{Kind, LE_V4_0};
use backhand::{
    BackhandError, FilesystemCompressor, FilesystemReader, FilesystemWriter, Flags, Id, NodeHeader,
    SuperBlock,
};

use super::ahead::{Ahead, Piece};
use super::codec::Codec;
use super::source::Source;
use super::{Attributes, BlockSize, Compression, Node, NodeKind, SquashfsError, Tree, links};
use crate::limits::BLOCK_U64;
use crate::progress::Counter;

/// Writes `tree` as a squashfs image into the empty file `out`, padded to whole blocks. Returns its
/// size in bytes.
pub(crate) fn write(
    tree: &Tree,
    attributes: Attributes,
    (compression, block_size): (Compression, BlockSize),
    out: &File,
    counter: &Counter<'_>,
) -> Result<u64, SquashfsError> {
    let codec = Codec::new(compression, block_size.bytes());
    let files = tree.files();
    let ahead = Arc::new(Ahead::new(codec, files.len()));
    let failure = Mutex::new(None);
    let written = ahead.run(&files, || {
        let reading = Reading {
            ahead: &ahead,
            counter,
            failure: &failure,
        };
        let _current = Current::set(&ahead);
        write_files(tree, attributes, codec, out, reading)
    });
    // The library reports the bare error, so what it was about is kept aside.
    let failure = failure.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some((path, source)) = failure {
        return Err(SquashfsError::Source { path, source });
    }
    let written = written.map_err(SquashfsError::WriteFile)?;
    let (superblock, mut used) = written.map_err(SquashfsError::Write)?;
    let links = tree.links();
    if !links.is_empty() {
        // Where data turns out to be there already, the library writes over it, and what
        // it wrote last may end in front of what it wrote before.
        out.set_len(used).map_err(SquashfsError::WriteFile)?;
        used = links::add(out, codec, &links)?;
    }
    let size = used.next_multiple_of(BLOCK_U64);
    finish(out, superblock.flags | codec.flags(), size).map_err(SquashfsError::WriteFile)?;
    Ok(size)
}

fn write_files(
    tree: &Tree,
    attributes: Attributes,
    codec: Codec,
    out: &File,
    reading: Reading<'_>,
) -> Result<(SuperBlock, u64), BackhandError> {
    let root = tree
        .nodes
        .get(Path::new(""))
        .map_or(0o755, |root| root.mode);
    let template = template(attributes.header(root))?;
    let mut image = FilesystemWriter::from_fs_reader(&template)?;
    image.set_kind(Kind::new_v4(&FROM_AHEAD));
    image.set_block_size(codec.block_size() as u32);
    image.set_compressor(codec.compressor()?);
    image.set_emit_compression_options(codec.has_options_in_image());
    image.set_time(attributes.mtime);
    image.set_no_duplicate_files(true);
    // Padding is ours: the library would add a whole block to an image that needs none.
    image.set_no_padding();
    for (path, node) in tree.nodes.iter().filter(|(_, node)| node.link.is_none()) {
        push(&mut image, path, node, attributes, reading)?;
    }
    let mut buffered = BufWriter::with_capacity(256 * 1024, out);
    let written = image.write(&mut buffered)?;
    buffered.flush()?;
    Ok(written)
}

fn push<'c>(
    image: &mut FilesystemWriter<'_, '_, 'c>,
    path: &Path,
    node: &Node,
    attributes: Attributes,
    reading: Reading<'c>,
) -> Result<(), BackhandError> {
    let header = attributes.header(node.mode);
    match &node.kind {
        // The root came with the template.
        NodeKind::Directory if path.as_os_str().is_empty() => Ok(()),
        NodeKind::Directory => image.push_dir(path, header),
        NodeKind::File(source) => {
            image.push_file(SourceFile::new(path, source, reading), path, header)
        }
        NodeKind::Symlink(target) => image.push_symlink(target, path, header),
        NodeKind::Fifo => image.push_fifo(path, header),
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
    let kind = Kind::from_const(LE_V4_0).map_err(|_| BackhandError::InvalidCompressionOption)?;
    writer.set_kind(kind);
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

/// Completes the image: its flags, and zeros up to `size`.
fn finish(out: &File, flags: u16, size: u64) -> io::Result<()> {
    const FLAGS_OFFSET: u64 = 24;
    let flags = flags | Flags::NoXattrsInArchive as u16;
    out.write_all_at(&flags.to_le_bytes(), FLAGS_OFFSET)?;
    out.set_len(size)
}

/// What all files of the tree are read with.
#[derive(Clone, Copy)]
struct Reading<'c> {
    ahead: &'c Ahead,
    counter: &'c Counter<'c>,
    /// The file that could not be read.
    failure: &'c Mutex<Option<(PathBuf, io::Error)>>,
}

/// A file of the tree, as the library reads it.
struct SourceFile<'c> {
    path: PathBuf,
    reading: Reading<'c>,
    piece: Arc<Vec<u8>>,
    position: usize,
    /// The end was seen. The library asks again after it.
    ended: bool,
}

impl<'c> SourceFile<'c> {
    fn new(path: &Path, source: &Source, reading: Reading<'c>) -> SourceFile<'c> {
        let path = match source {
            Source::File(source) => source,
            Source::Bytes(_) => path,
        };
        SourceFile {
            path: path.to_owned(),
            reading,
            piece: Arc::default(),
            position: 0,
            ended: false,
        }
    }

    fn next_piece(&self) -> Piece {
        self.reading.ahead.next_piece().map_err(|error| {
            let kind = error.kind();
            let mut failure = self
                .reading
                .failure
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *failure = Some((self.path.clone(), error));
            kind.into()
        })
    }
}

impl Read for SourceFile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position == self.piece.len() && !self.ended {
            self.piece = self.next_piece()?;
            self.position = 0;
            self.ended = self.piece.is_empty();
            self.reading.counter.add(self.piece.len() as u64);
        }
        let mut left = self.piece.get(self.position..).unwrap_or_default();
        let read = left.read(buffer)?;
        self.position += read;
        Ok(read)
    }
}

thread_local! {
    /// What belongs to the image that this thread writes. The library wants a compressor that lives
    /// for ever.
    static CURRENT: RefCell<Option<Arc<Ahead>>> = const { RefCell::new(None) };
}

/// Sets [`CURRENT`] for its lifetime.
struct Current;

impl Current {
    fn set(ahead: &Arc<Ahead>) -> Current {
        CURRENT.set(Some(Arc::clone(ahead)));
        Current
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        CURRENT.set(None);
    }
}

/// The library's compressor: takes what was compressed ahead.
#[derive(Debug, Clone, Copy)]
struct FromAhead;

static FROM_AHEAD: FromAhead = FromAhead;

impl CompressionAction for FromAhead {
    type Compressor = Compressor;
    type FilesystemCompressor = FilesystemCompressor;
    type SuperBlock = SuperBlock;
    type Error = BackhandError;

    fn decompress(
        &self,
        _bytes: &[u8],
        _out: &mut Vec<u8>,
        _compressor: Compressor,
    ) -> Result<(), BackhandError> {
        // Images are not read with this.
        Err(BackhandError::InvalidCompressionOption)
    }

    fn compress(
        &self,
        bytes: &[u8],
        _compressor: FilesystemCompressor,
        _block_size: u32,
    ) -> Result<Vec<u8>, BackhandError> {
        CURRENT.with_borrow(|current| match current {
            Some(ahead) => ahead.compress(bytes),
            None => Err(BackhandError::InvalidCompressionOption),
        })
    }

    fn compression_options(
        &self,
        superblock: &mut SuperBlock,
        kind: &Kind,
        compressor: FilesystemCompressor,
    ) -> Result<Option<Vec<u8>>, BackhandError> {
        DefaultCompressor.compression_options(superblock, kind, compressor)
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
