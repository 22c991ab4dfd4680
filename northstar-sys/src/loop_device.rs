//! Loop devices, loop(4), by the one call that attaches, limits and protects at once.
//!
//! Replaces the configuring half of the `loopdev` crates, which attach a file first and narrow it
//! down with a second ioctl: in between the whole file is visible, writable and unnamed. This
//! module will never retry, never open `/dev/loopN` and never scan for partitions: which device,
//! how often and until when is the caller's policy.

use std::os::fd::{AsRawFd, BorrowedFd};

use linux_raw_sys::loop_device as uapi;

use crate::Result;
use crate::error::check;

/// How a file is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// The device refuses writes (`LO_FLAGS_READ_ONLY`).
    pub read_only: bool,
    /// The kernel detaches the file on the last close (`LO_FLAGS_AUTOCLEAR`).
    pub autoclear: bool,
    /// The backing file is read past the page cache (`LO_FLAGS_DIRECT_IO`). The kernel drops the
    /// flag silently where the backing file system cannot do it: read it back by [`status`].
    pub direct_io: bool,
}

impl Flags {
    fn bits(self) -> u32 {
        let flag = |wanted: bool, bit: u32| if wanted { bit } else { 0 };
        flag(self.read_only, uapi::LO_FLAGS_READ_ONLY as u32)
            | flag(self.autoclear, uapi::LO_FLAGS_AUTOCLEAR as u32)
            | flag(self.direct_io, uapi::LO_FLAGS_DIRECT_IO as u32)
    }

    fn from_bits(bits: u32) -> Flags {
        Flags {
            read_only: bits & uapi::LO_FLAGS_READ_ONLY as u32 != 0,
            autoclear: bits & uapi::LO_FLAGS_AUTOCLEAR as u32 != 0,
            direct_io: bits & uapi::LO_FLAGS_DIRECT_IO as u32 != 0,
        }
    }
}

/// What a loop device says it is attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Device number of the file system with the backing file, in the encoding of stat(2).
    pub device: u64,
    /// Inode of the backing file.
    pub inode: u64,
    /// First byte of the file that is visible, in bytes.
    pub offset: u64,
    /// How many bytes are visible; 0 means all up to the end of the file.
    pub size_limit: u64,
    /// N of `/dev/loopN`.
    pub number: u32,
    /// The flags in force.
    pub flags: Flags,
}

/// Asks `/dev/loop-control` for the number of a free device (`LOOP_CTL_GET_FREE`), creating one
/// when all are taken. Another process may take it before the caller does.
///
/// # Errors
/// The errno of ioctl(2), for example ENOSPC when no device can be created.
pub fn get_free(control: BorrowedFd<'_>) -> Result<u32> {
    // SAFETY: LOOP_CTL_GET_FREE takes no argument and touches no memory.
    let returned = unsafe { libc::ioctl(control.as_raw_fd(), uapi::LOOP_CTL_GET_FREE as _) };
    let number = check("ioctl", returned.into(), || "LOOP_CTL_GET_FREE")?;
    Ok(u32::try_from(number).unwrap_or(u32::MAX))
}

/// Attaches `size_limit` bytes of `backing` from `offset` on to the loop device `device`
/// (`LOOP_CONFIGURE`), with `block_size` as its logical block size. All sizes in bytes.
///
/// # Errors
/// EBUSY when the device was taken meanwhile, ENXIO when it is being removed, EINVAL for a block
/// size that is no power of two between 512 and the page size, or the errno of ioctl(2).
pub fn configure(
    device: BorrowedFd<'_>,
    backing: BorrowedFd<'_>,
    offset: u64,
    size_limit: u64,
    block_size: u32,
    flags: Flags,
) -> Result<()> {
    let config = uapi::loop_config {
        fd: u32::try_from(backing.as_raw_fd()).unwrap_or(u32::MAX),
        block_size,
        info: uapi::loop_info64 {
            lo_offset: offset,
            lo_sizelimit: size_limit,
            lo_flags: flags.bits(),
            ..empty_info()
        },
        __reserved: [0; 8],
    };
    // SAFETY: LOOP_CONFIGURE reads one loop_config through the pointer, which is live and whole;
    // both descriptors are open for the duration of the call.
    let returned = unsafe {
        libc::ioctl(
            device.as_raw_fd(),
            uapi::LOOP_CONFIGURE as _,
            &raw const config,
        )
    };
    check("ioctl", returned.into(), || {
        format!("LOOP_CONFIGURE, offset {offset}, size {size_limit}, block {block_size}, {flags:?}")
    })
    .map(drop)
}

/// Reads back what a loop device is attached to (`LOOP_GET_STATUS64`).
///
/// # Errors
/// ENXIO when it is not attached, or the errno of ioctl(2).
pub fn status(device: BorrowedFd<'_>) -> Result<Status> {
    let mut info = empty_info();
    // SAFETY: LOOP_GET_STATUS64 writes one loop_info64 through the pointer, which is live, whole
    // and not read until the call is over.
    let returned = unsafe {
        libc::ioctl(
            device.as_raw_fd(),
            uapi::LOOP_GET_STATUS64 as _,
            &raw mut info,
        )
    };
    check("ioctl", returned.into(), || "LOOP_GET_STATUS64")?;
    Ok(Status {
        device: info.lo_device,
        inode: info.lo_inode,
        offset: info.lo_offset,
        size_limit: info.lo_sizelimit,
        number: info.lo_number,
        flags: Flags::from_bits(info.lo_flags),
    })
}

/// Detaches the file (`LOOP_CLR_FD`); with other openers left the kernel does so on the last
/// close. Must only be used on a device this process attached: it detaches whatever is there.
///
/// # Errors
/// ENXIO when nothing is attached, or the errno of ioctl(2).
pub fn clear(device: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: LOOP_CLR_FD takes no argument and touches no memory.
    let returned = unsafe { libc::ioctl(device.as_raw_fd(), uapi::LOOP_CLR_FD as _) };
    check("ioctl", returned.into(), || "LOOP_CLR_FD").map(drop)
}

fn empty_info() -> uapi::loop_info64 {
    uapi::loop_info64 {
        lo_device: 0,
        lo_inode: 0,
        lo_rdevice: 0,
        lo_offset: 0,
        lo_sizelimit: 0,
        lo_number: 0,
        lo_encrypt_type: 0,
        lo_encrypt_key_size: 0,
        lo_flags: 0,
        lo_file_name: [0; 64],
        lo_crypt_name: [0; 64],
        lo_encrypt_key: [0; 32],
        lo_init: [0; 2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn flags_survive_their_bits() {
        for n in 0..8u8 {
            let flags = Flags {
                read_only: n & 1 != 0,
                autoclear: n & 2 != 0,
                direct_io: n & 4 != 0,
            };
            assert_eq!(Flags::from_bits(flags.bits()), flags);
        }
    }

    #[test]
    fn ordinary_file_is_no_loop_device() {
        let file = tempfile::tempfile().unwrap();
        let error = configure(file.as_fd(), file.as_fd(), 0, 0, 4096, Flags::default());
        assert_eq!(error.unwrap_err().errno(), libc::ENOTTY);
        assert_eq!(status(file.as_fd()).unwrap_err().errno(), libc::ENOTTY);
        let null = File::open("/dev/null").unwrap();
        assert_eq!(get_free(null.as_fd()).unwrap_err().errno(), libc::ENOTTY);
    }
}
