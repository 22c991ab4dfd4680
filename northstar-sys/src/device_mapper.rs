//! Device-mapper requests in the form the daemon needs them: without udev cookies.
//!
//! The `devicemapper` crate creates, loads and lists devices. Its *resume* and *remove* wait for udev whenever
//! `/run/udev/control` exists, and there is no way to ask it not to: a mount would wait for a daemon that may be
//! slow, stopped or without device-mapper rules (then for ever). Removing also sleeps between attempts on its own
//! terms. It has no *get target version*, the one request that lets the kernel load a target's module. These three
//! are here, and nothing else will be.
//!
//! Source: `include/uapi/linux/dm-ioctl.h`, `drivers/md/dm-ioctl.c`.

use std::{io, mem::size_of, os::fd::BorrowedFd};

use linux_raw_sys::ioctl::{DM_DEV_REMOVE, DM_DEV_SUSPEND, DM_GET_TARGET_VERSION};
use rustix::ioctl::Updater;

/// Lowest version of the interface that has resume and deferred removal as used here.
const VERSION: [u32; 3] = [4, 0, 0];
/// Lowest version of the interface with `DM_GET_TARGET_VERSION` (Linux 5.4).
const VERSION_TARGET: [u32; 3] = [4, 41, 0];
/// `DM_DEFERRED_REMOVE`: in: remove a device in use when it is closed; out: that is what will happen.
const FLAG_DEFERRED_REMOVE: u32 = 1 << 17;
/// `DM_NAME_LEN`, with the terminating NUL.
const NAME_LENGTH: usize = 128;
/// Room for the answer that follows the header.
const DATA_LENGTH: usize = 256;

/// `struct dm_ioctl` followed by room for data.
#[repr(C)]
struct Request {
    version: [u32; 3],
    data_size: u32,
    data_start: u32,
    target_count: u32,
    open_count: i32,
    flags: u32,
    event_nr: u32,
    padding: u32,
    dev: u64,
    name: [u8; NAME_LENGTH],
    uuid: [u8; 129],
    data: [u8; 7],
    payload: [u8; DATA_LENGTH],
}

/// Size of `struct dm_ioctl` alone. The request codes carry it, and the kernel expects data no earlier.
const HEADER: usize = 312;
const _: () = assert!(size_of::<Request>() == HEADER + DATA_LENGTH);

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum DeviceMapperError {
    /// The name has no place in a request.
    #[error("device-mapper name {name:?} is empty, longer than 127 bytes or holds a NUL byte")]
    Name {
        /// The refused name.
        name: String,
    },
    /// The kernel refused.
    #[error("{request} of {name}")]
    Request {
        /// The name of the request in `dm-ioctl.h`.
        request: &'static str,
        /// The device or target it was about.
        name: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The kernel answered less than its interface promises.
    #[error("{request} of {name}: truncated answer")]
    Answer {
        /// The name of the request in `dm-ioctl.h`.
        request: &'static str,
        /// The device or target it was about.
        name: String,
    },
}

impl DeviceMapperError {
    /// The error number of the kernel, if it was the kernel that refused.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Request { source, .. } => source.raw_os_error(),
            Self::Name { .. } | Self::Answer { .. } => None,
        }
    }
}

/// When a device that is in use goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Now, or the request fails with `EBUSY`.
    Now,
    /// With its last user.
    Deferred,
}

/// What a removal did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// The device is gone.
    Gone,
    /// The device is in use and goes with its last user.
    Deferred,
}

/// Activates the loaded table of a device (`DM_DEV_SUSPEND` without the suspend flag).
///
/// # Errors
///
/// `ENXIO`: no such device; what the target's activation reports otherwise.
pub fn resume(control: BorrowedFd<'_>, name: &str) -> Result<(), DeviceMapperError> {
    call::<DM_DEV_SUSPEND>(control, "DM_DEV_SUSPEND", name, VERSION, 0).map(drop)
}

/// Removes a device.
///
/// # Errors
///
/// `ENXIO`: no such device; `EBUSY`: in use, with [`Removal::Now`].
pub fn remove(
    control: BorrowedFd<'_>,
    name: &str,
    removal: Removal,
) -> Result<Removed, DeviceMapperError> {
    let flags = match removal {
        Removal::Now => 0,
        Removal::Deferred => FLAG_DEFERRED_REMOVE,
    };
    let answer = call::<DM_DEV_REMOVE>(control, "DM_DEV_REMOVE", name, VERSION, flags)?;
    // The kernel clears the flag when nothing was left to defer.
    if answer.flags & FLAG_DEFERRED_REMOVE == 0 {
        Ok(Removed::Gone)
    } else {
        Ok(Removed::Deferred)
    }
}

/// The version of a target such as `verity`. The kernel loads the target's module if it can.
///
/// # Errors
///
/// `EINVAL`: the kernel has no such target and cannot load one.
pub fn target_version(
    control: BorrowedFd<'_>,
    target: &str,
) -> Result<[u32; 3], DeviceMapperError> {
    const REQUEST: &str = "DM_GET_TARGET_VERSION";
    let answer = call::<DM_GET_TARGET_VERSION>(control, REQUEST, target, VERSION_TARGET, 0)?;
    let truncated = || DeviceMapperError::Answer {
        request: REQUEST,
        name: target.to_owned(),
    };
    // struct dm_target_versions: u32 next, u32 version[3], name.
    let offset = usize::try_from(answer.data_start)
        .ok()
        .and_then(|start| start.checked_sub(HEADER))
        .ok_or_else(truncated)?;
    let number = |index: usize| -> Option<u32> {
        let start = offset.checked_add(index.checked_mul(4)?)?;
        let bytes = answer.payload.get(start..start.checked_add(4)?)?;
        Some(u32::from_ne_bytes(bytes.try_into().ok()?))
    };
    match (number(1), number(2), number(3)) {
        (Some(major), Some(minor), Some(patch)) => Ok([major, minor, patch]),
        _ => Err(truncated()),
    }
}

fn call<const CODE: u32>(
    control: BorrowedFd<'_>,
    request: &'static str,
    name: &str,
    version: [u32; 3],
    flags: u32,
) -> Result<Box<Request>, DeviceMapperError> {
    let mut field = [0u8; NAME_LENGTH];
    match field.get_mut(..name.len()) {
        // The last byte stays NUL.
        Some(start) if !name.is_empty() && name.len() < NAME_LENGTH && !name.contains('\0') => {
            start.copy_from_slice(name.as_bytes());
        }
        _ => return Err(DeviceMapperError::Name { name: name.to_owned() }),
    }
    let mut answer = Box::new(Request {
        version,
        data_size: size_of::<Request>() as u32,
        data_start: HEADER as u32,
        target_count: 0,
        open_count: 0,
        flags,
        // No udev cookie: nobody is waited for.
        event_nr: 0,
        padding: 0,
        dev: 0,
        name: field,
        uuid: [0; 129],
        data: [0; 7],
        payload: [0; DATA_LENGTH],
    });
    // SAFETY: every device-mapper request code takes a pointer to a struct dm_ioctl that is `data_size` bytes long
    // with its data, and the kernel reads and writes no more than that; `Request` is exactly so long, is plain
    // integers (any bytes the kernel writes are valid), and is exclusively borrowed for the call.
    unsafe { rustix::ioctl::ioctl(control, Updater::<{ CODE as _ }, Request>::new(&mut answer)) }
        .map_err(|errno| DeviceMapperError::Request {
            request,
            name: name.to_owned(),
            source: errno.into(),
        })?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::AsFd};

    use super::*;

    #[test]
    fn the_header_has_the_size_that_the_request_codes_carry() {
        // _IOC: bits 16..30 are the size of the argument.
        for code in [DM_DEV_REMOVE, DM_DEV_SUSPEND, DM_GET_TARGET_VERSION] {
            assert_eq!((code >> 16) & 0x3fff, HEADER as u32);
        }
    }

    #[test]
    fn names_that_do_not_fit_are_refused_before_the_kernel_is_asked() {
        let file = File::open("/dev/null").unwrap();
        for name in ["", "a\0b", &"x".repeat(128)] {
            assert!(matches!(
                resume(file.as_fd(), name),
                Err(DeviceMapperError::Name { name: refused }) if refused == name
            ));
        }
    }

    #[test]
    fn a_refusal_carries_request_name_and_errno() {
        let file = File::open("/dev/null").unwrap();
        let error = remove(file.as_fd(), "northstar-test", Removal::Now).unwrap_err();
        assert_eq!(error.to_string(), "DM_DEV_REMOVE of northstar-test");
        assert_eq!(error.errno(), Some(rustix::io::Errno::NOTTY.raw_os_error()));
    }
}
