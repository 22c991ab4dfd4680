//! Having written bytes go to the disk before somebody waits for them.

use std::os::fd::{AsRawFd, BorrowedFd};

use crate::error::check;
use crate::{Error, Result};

const CALL: &str = "sync_file_range";

/// Asks the kernel to begin to write `length` bytes of a file from `offset` on to its disk, and does not wait for it.
///
/// This makes nothing durable (sync_file_range(2) flushes neither metadata nor the disk's cache): it makes the fsync(2) that
/// has to follow shorter. What the disk fails to write is still reported there.
///
/// # Errors
/// EINVAL for a range beyond 2^63 bytes, or the errno of sync_file_range(2): ESPIPE for anything but a file with content.
pub fn begin(file: BorrowedFd<'_>, offset: u64, length: u64) -> Result<()> {
    let arguments = || format!("{length} bytes from {offset} on");
    let (Ok(from), Ok(count)) = (i64::try_from(offset), i64::try_from(length)) else {
        return Err(Error::from_errno(CALL, arguments(), libc::EINVAL));
    };
    // SAFETY: the call takes numbers and a descriptor that is open for its duration, and no memory of ours.
    let returned = unsafe {
        libc::sync_file_range(file.as_raw_fd(), from, count, libc::SYNC_FILE_RANGE_WRITE)
    };
    check(CALL, returned.into(), arguments).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::os::fd::AsFd;

    #[test]
    fn what_is_being_written_back_reads_the_same() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 100_000]).unwrap();
        begin(file.as_fd(), 0, 65_536).unwrap();
        let mut read = vec![0; 100_000];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut read, 0).unwrap();
        assert!(read.iter().all(|byte| *byte == 7));
    }

    #[test]
    fn pipes_and_impossible_ranges_are_refused() {
        let (reader, _writer) = rustix::pipe::pipe().unwrap();
        assert_eq!(
            begin(reader.as_fd(), 0, 1).unwrap_err().errno(),
            libc::ESPIPE
        );
        let file = tempfile::tempfile().unwrap();
        assert_eq!(
            begin(file.as_fd(), u64::MAX, 1).unwrap_err().errno(),
            libc::EINVAL
        );
    }
}
