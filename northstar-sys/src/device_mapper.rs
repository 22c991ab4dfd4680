//! Device-mapper requests in the form the daemon needs them: without udev cookies.
//!
//! The `devicemapper` crate creates, loads and lists devices. Its *resume* and *remove* wait for udev whenever
//! `/run/udev/control` exists, and there is no way to ask it not to: a mount would wait for a daemon that may be
//! slow, stopped or without device-mapper rules (then for ever). Removing also sleeps between attempts on its own
//! terms. It has no *get target version*, the one request that lets the kernel load a target's module. These three
//! are here, and nothing else will be.
//!
//! Source: `include/uapi/linux/dm-ioctl.h`, `drivers/md/dm-ioctl.c`.

use std::{
    mem::size_of,
    os::fd::{AsRawFd, BorrowedFd},
};

use linux_raw_sys::ioctl::{DM_DEV_REMOVE, DM_DEV_SUSPEND, DM_GET_TARGET_VERSION};

use crate::{Error, Result, error::check};

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
/// ENXIO: no such device; EINVAL: the name does not fit; what the target's activation reports otherwise.
pub fn resume(control: BorrowedFd<'_>, name: &str) -> Result<()> {
    call(DM_DEV_SUSPEND, control, "DM_DEV_SUSPEND", name, VERSION, 0).map(drop)
}

/// Removes a device.
///
/// # Errors
///
/// ENXIO: no such device; EBUSY: in use, with [`Removal::Now`]; EINVAL: the name does not fit.
pub fn remove(control: BorrowedFd<'_>, name: &str, removal: Removal) -> Result<Removed> {
    let flags = match removal {
        Removal::Now => 0,
        Removal::Deferred => FLAG_DEFERRED_REMOVE,
    };
    let answer = call(
        DM_DEV_REMOVE,
        control,
        "DM_DEV_REMOVE",
        name,
        VERSION,
        flags,
    )?;
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
/// EINVAL: the kernel has no such target and cannot load one.
pub fn target_version(control: BorrowedFd<'_>, target: &str) -> Result<[u32; 3]> {
    const REQUEST: &str = "DM_GET_TARGET_VERSION";
    let answer = call(
        DM_GET_TARGET_VERSION,
        control,
        REQUEST,
        target,
        VERSION_TARGET,
        0,
    )?;
    let truncated = || {
        Error::from_errno(
            "ioctl",
            format!("{REQUEST} {target}: short answer"),
            libc::EPROTO,
        )
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

fn call(
    code: u32,
    control: BorrowedFd<'_>,
    request: &'static str,
    name: &str,
    version: [u32; 3],
    flags: u32,
) -> Result<Box<Request>> {
    let mut field = [0u8; NAME_LENGTH];
    match field.get_mut(..name.len()) {
        // The last byte stays NUL.
        Some(start) if !name.is_empty() && name.len() < NAME_LENGTH && !name.contains('\0') => {
            start.copy_from_slice(name.as_bytes());
        }
        _ => {
            return Err(Error::from_errno(
                "ioctl",
                format!("{request} {name:?}"),
                libc::EINVAL,
            ));
        }
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
    let returned = unsafe { libc::ioctl(control.as_raw_fd(), code as _, &raw mut *answer) };
    check("ioctl", returned.into(), || format!("{request} {name}"))?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

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
            assert_eq!(
                resume(file.as_fd(), name).unwrap_err().errno(),
                libc::EINVAL
            );
        }
    }

    #[test]
    fn a_refusal_carries_request_name_and_errno() {
        let file = File::open("/dev/null").unwrap();
        let error = remove(file.as_fd(), "northstar-test", Removal::Now).unwrap_err();
        assert_eq!(error.to_string(), "ioctl(DM_DEV_REMOVE northstar-test)");
        assert_eq!(error.errno(), libc::ENOTTY);
    }
}
