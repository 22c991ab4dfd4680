//! The checksum of a large content, on all cores.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::limits::PIECE;
use crate::parallel::on_all_cores;

/// CRC-32 of a content and of its pieces.
#[derive(Debug, Clone)]
pub(crate) struct Checksums {
    /// Of the whole content, to which more can be added.
    pub all: crc32fast::Hasher,
    /// Of each 512 KiB; the last piece is what is left.
    pub pieces: Vec<u32>,
}

impl Checksums {
    /// Reads `size` bytes of `file` from `offset` on.
    pub(crate) fn read(file: &File, offset: u64, size: u64) -> io::Result<Checksums> {
        let begin = || Ok::<_, io::Error>(vec![0; PIECE as usize]);
        let pieces = on_all_cores(size.div_ceil(PIECE), begin, |buffer, index| {
            let start = index * PIECE;
            let length = (size - start).min(PIECE) as usize;
            let piece = buffer.get_mut(..length).unwrap_or_default();
            file.read_exact_at(piece, offset + start)?;
            let mut hasher = crc32fast::Hasher::new();
            hasher.update(piece);
            Ok(hasher)
        })?;
        let mut all = crc32fast::Hasher::new();
        let mut sums = Vec::with_capacity(pieces.len());
        for piece in pieces {
            all.combine(&piece);
            sums.push(piece.finalize());
        }
        Ok(Checksums { all, pieces: sums })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn pieces_add_up_to_the_whole() {
        let bytes: Vec<u8> = (0..1_500_000_u32).map(|n| (n / 7) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        for (offset, size) in [(0, 1_500_000), (0, 0), (5, 1), (7, 524_288), (9, 1_048_577)] {
            let sums = Checksums::read(&file, offset, size).unwrap();
            let expected = &bytes[offset as usize..][..size as usize];
            assert_eq!(sums.all.finalize(), crc32fast::hash(expected));
            let pieces: Vec<u32> = expected.chunks(524_288).map(crc32fast::hash).collect();
            assert_eq!(sums.pieces, pieces);
        }
        let error = Checksums::read(&file, 1, 1_500_000).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
