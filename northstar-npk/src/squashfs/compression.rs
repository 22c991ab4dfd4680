//! The compressions of images.

use std::fmt;
use std::str::FromStr;

/// How the blocks of an image are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Every block is stored as it is.
    None,
    /// DEFLATE, level 9.
    #[default]
    Gzip,
    /// LZO1X: large, and fast to read on small processors.
    Lzo,
    /// LZMA2, preset 6 with a dictionary of one block: small, and slow to read.
    Xz,
    /// Zstandard, level 15.
    Zstd,
    /// LZ4: larger than LZO, and the fastest to read. Northstar 0.9.2 loads no such package.
    Lz4,
}

impl Compression {
    /// All of them, in the order of their description.
    pub const ALL: [Compression; 6] = [
        Compression::None,
        Compression::Gzip,
        Compression::Lzo,
        Compression::Xz,
        Compression::Zstd,
        Compression::Lz4,
    ];

    /// The word that stands for it on command lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Lzo => "lzo",
            Compression::Xz => "xz",
            Compression::Zstd => "zstd",
            Compression::Lz4 => "lz4",
        }
    }
}

/// The word is not a [`Compression`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown compression {word:?}: it is one of none, gzip, lzo, xz, zstd, lz4")]
pub struct UnknownCompression {
    /// The word.
    pub word: String,
}

impl FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(word: &str) -> Result<Compression, UnknownCompression> {
        let found = Compression::ALL
            .into_iter()
            .find(|compression| compression.as_str() == word);
        found.ok_or_else(|| UnknownCompression {
            word: word.to_owned(),
        })
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back() {
        for compression in Compression::ALL {
            assert_eq!(compression.to_string().parse(), Ok(compression));
        }
        let word = "lzma".to_owned();
        assert_eq!(
            "lzma".parse::<Compression>(),
            Err(UnknownCompression { word })
        );
    }
}
