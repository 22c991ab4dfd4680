//! Memory files whose content can no longer change, memfd_create(2).

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;

use crate::{Error, Result};

/// What a memory file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Bytes to read: can never be executed, where the kernel knows that (6.3).
    Data,
    /// A program to execute (`MFD_EXEC`, where the kernel knows that).
    Program,
}

const SEALS: SealFlags = SealFlags::SHRINK
    .union(SealFlags::GROW)
    .union(SealFlags::WRITE)
    .union(SealFlags::SEAL);

/// How long a memory file may be busy before that is an error.
const BUSY: Duration = Duration::from_secs(5);
/// How long to wait before it is looked at again.
const PAUSE: Duration = Duration::from_millis(10);

/// Creates a memory file with `bytes` in it that nobody can write, grow, shrink or unseal.
///
/// # Errors
/// The errno of memfd_create(2), write(2) or fcntl(2) F_ADD_SEALS; EACCES when the administrator
/// forbids executable memory files (`vm.memfd_noexec` = 2).
pub fn sealed(name: &str, bytes: &[u8], content: Content) -> Result<OwnedFd> {
    let mut file = File::from(create(name, content)?);
    file.write_all(bytes)
        .map_err(|e| Error::new("write", format!("memfd {name}"), e))?;
    seal(file.as_fd())?;
    Ok(file.into())
}

/// Creates an empty memory file that can be filled and then sealed by [`seal`].
///
/// # Errors
/// The errno of memfd_create(2).
pub fn create(name: &str, content: Content) -> Result<OwnedFd> {
    let base = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let exact = match content {
        Content::Data => base | MemfdFlags::NOEXEC_SEAL,
        Content::Program => base | MemfdFlags::EXEC,
    };
    match rustix::fs::memfd_create(name, exact) {
        // Before Linux 6.3 neither flag exists and every memory file is executable.
        Err(Errno::INVAL) => rustix::fs::memfd_create(name, base),
        other => other,
    }
    .map_err(|e| Error::new("memfd_create", format!("{name}, {content:?}"), e))
}

/// Forbids every further change of a memory file, including further seals.
///
/// The kernel refuses while anybody holds one of its pages, for it cannot tell a writer from the kernel's own reclaim and
/// migration of memory; it waits for about 150 ms itself (`memfd_wait_for_pins` in mm/memfd.c of its sources), which is too
/// little for a machine that is short of memory. So this tries again, for up to 5 seconds. Blocks that long.
///
/// # Errors
/// The errno of fcntl(2) F_ADD_SEALS: EBUSY if it is still mapped writable after that.
pub fn seal(memfd: BorrowedFd<'_>) -> Result<()> {
    let begin = Instant::now();
    loop {
        match rustix::fs::fcntl_add_seals(memfd, SEALS) {
            Err(Errno::BUSY) if begin.elapsed() < BUSY => thread::sleep(PAUSE),
            result => return result.map_err(|e| Error::new("fcntl", "F_ADD_SEALS", e)),
        }
    }
}

/// Whether nobody can change the content of `file` any more.
///
/// # Errors
/// The errno of fcntl(2) F_GET_SEALS: EINVAL when `file` is no memory file.
pub fn is_sealed(file: BorrowedFd<'_>) -> Result<bool> {
    rustix::fs::fcntl_get_seals(file)
        .map(|seals| seals.contains(SEALS))
        .map_err(|e| Error::new("fcntl", "F_GET_SEALS", e))
}

/// Reads a memory file of at most `limit` bytes whose seals promise that it cannot change while
/// it is read. Starts at its first byte whatever its file position is.
///
/// # Errors
/// EPERM when the seals are not all there, EFBIG beyond the limit, EINVAL for any other file, or
/// the errno of fstat(2), fcntl(2), pread(2).
pub fn read_sealed(memfd: BorrowedFd<'_>, limit: usize) -> Result<Vec<u8>> {
    let seals =
        rustix::fs::fcntl_get_seals(memfd).map_err(|e| Error::new("fcntl", "F_GET_SEALS", e))?;
    if !seals.contains(SEALS) {
        return Err(Error::from_errno(
            "fcntl",
            format!("seals {seals:?}"),
            libc::EPERM,
        ));
    }
    let size = rustix::fs::fstat(memfd)
        .map_err(|e| Error::new("fstat", "memfd", e))?
        .st_size;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if size > limit {
        return Err(Error::from_errno(
            "fstat",
            format!("{size} > {limit} bytes"),
            libc::EFBIG,
        ));
    }
    let mut bytes = vec![0; size];
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match rustix::io::pread(memfd, rest, done as u64) {
            Ok(0) => return Err(Error::from_errno("pread", "memfd ends early", libc::EIO)),
            Ok(count) => done = done.saturating_add(count),
            Err(Errno::INTR) => {}
            Err(error) => return Err(Error::new("pread", "memfd", error)),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd as _;

    #[test]
    fn sealed_bytes_come_back_and_cannot_be_changed() {
        let memfd = sealed("test", b"content", Content::Data).unwrap();
        assert_eq!(read_sealed(memfd.as_fd(), 7).unwrap(), b"content");
        assert_eq!(rustix::io::write(&memfd, b"x"), Err(Errno::PERM));
        assert_eq!(rustix::fs::ftruncate(&memfd, 0), Err(Errno::PERM));
        assert_eq!(
            rustix::fs::fcntl_add_seals(&memfd, SealFlags::SEAL),
            Err(Errno::PERM)
        );
    }

    #[test]
    fn a_file_that_is_busy_for_a_moment_is_sealed_after_it() {
        const SIZE: usize = 4096;
        let memfd = create("test", Content::Data).unwrap();
        rustix::fs::ftruncate(&memfd, SIZE as u64).unwrap();
        // SAFETY: a new mapping where the kernel has room for it.
        let mapping = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                SIZE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                memfd.as_raw_fd(),
                0,
            )
        };
        assert_ne!(mapping, libc::MAP_FAILED);
        assert_eq!(rustix::fs::fcntl_add_seals(&memfd, SEALS), Err(Errno::BUSY));
        let address = mapping.expose_provenance();
        let holder = thread::spawn(move || {
            thread::sleep(Duration::from_millis(300));
            // SAFETY: the mapping from above, which nobody else uses.
            unsafe { libc::munmap(std::ptr::with_exposed_provenance_mut(address), SIZE) }
        });
        seal(memfd.as_fd()).unwrap();
        assert!(is_sealed(memfd.as_fd()).unwrap());
        assert_eq!(holder.join().unwrap(), 0);
    }

    #[test]
    fn seals_are_told_from_no_seals_and_from_other_files() {
        let memfd = create("test", Content::Program).unwrap();
        assert!(!is_sealed(memfd.as_fd()).unwrap());
        seal(memfd.as_fd()).unwrap();
        assert!(is_sealed(memfd.as_fd()).unwrap());
        let file = File::open("/proc/self/exe").unwrap();
        assert_eq!(is_sealed(file.as_fd()).unwrap_err().errno(), libc::EINVAL);
    }

    #[test]
    fn unsealed_foreign_and_large_files_are_refused() {
        let open = create("test", Content::Data).unwrap();
        assert_eq!(
            read_sealed(open.as_fd(), 10).unwrap_err().errno(),
            libc::EPERM
        );
        let large = sealed("test", &[0; 11], Content::Data).unwrap();
        assert_eq!(
            read_sealed(large.as_fd(), 10).unwrap_err().errno(),
            libc::EFBIG
        );
        let pipe = rustix::pipe::pipe().unwrap();
        assert_eq!(
            read_sealed(pipe.0.as_fd(), 10).unwrap_err().errno(),
            libc::EINVAL
        );
    }
}
