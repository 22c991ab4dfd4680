//! The block size of an image.

use super::SquashfsError;

/// How many bytes of a file are compressed together: a power of two from 4 KiB to 1 MiB.
///
/// Larger blocks make smaller images, and cost more memory and time whenever a part of one is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockSize(u32);

impl BlockSize {
    /// Takes a number of bytes; `None` is 128 KiB.
    pub(crate) fn new(bytes: Option<u32>) -> Result<BlockSize, SquashfsError> {
        let size = bytes.unwrap_or(128 * 1024);
        match size.is_power_of_two() && (4096..=1024 * 1024).contains(&size) {
            true => Ok(BlockSize(size)),
            false => Err(SquashfsError::BlockSize { size }),
        }
    }

    pub(crate) fn bytes(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two_in_range_are_block_sizes() {
        for bits in 0..32 {
            let size = 1 << bits;
            assert_eq!(
                BlockSize::new(Some(size)).is_ok(),
                (12..=20).contains(&bits)
            );
        }
        for size in [0, 4095, 4097, 131_073, 1_048_575] {
            assert!(matches!(
                BlockSize::new(Some(size)),
                Err(SquashfsError::BlockSize { size: found }) if found == size
            ));
        }
    }
}
