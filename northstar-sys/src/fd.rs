//! Descriptors as numbers: inherited ones, numbers a program was promised, and everything else.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};

use crate::error::check;
use crate::process::Child;
use crate::{Error, Result};

/// First number that is not a standard stream.
const FIRST: RawFd = 3;

/// Numbers already handed out by [`adopt`]: two owners of one number would close it twice.
static ADOPTED: Mutex<BTreeSet<RawFd>> = Mutex::new(BTreeSet::new());

/// Takes over a descriptor that this program inherited and learned the number of, for example
/// from an environment variable. It is close-on-exec afterwards.
///
/// A number can be adopted once in the life of a process.
///
/// # Errors
/// EBADF when the number is not open or is a standard stream, EBUSY when it was adopted before.
pub fn adopt(number: RawFd) -> Result<OwnedFd> {
    let describe = |errno| Error::from_errno("fcntl", format!("adopt descriptor {number}"), errno);
    if number < FIRST {
        return Err(describe(libc::EBADF));
    }
    // SAFETY: F_GETFD only asks whether the number is open and touches no memory.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    check("fcntl", flags.into(), || {
        format!("F_GETFD of descriptor {number}")
    })?;
    if !ADOPTED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(number)
    {
        return Err(describe(libc::EBUSY));
    }
    // SAFETY: the number is open, was inherited (so no object of this program owns it, which is
    // the caller's claim by using this function), and the set above gives it out once.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::CLOEXEC)
        .map_err(|e| Error::new("fcntl", format!("F_SETFD of descriptor {number}"), e))?;
    Ok(descriptor)
}

/// Lets nobody pass descriptors to `socket`, a Unix socket, and to what it accepts (SO_PASSRIGHTS): who tries gets EPERM.
/// Returns whether the kernel can do that; Linux can since 6.16.
///
/// # Errors
/// The errno of setsockopt(2), if it is not that the kernel does not know the option.
pub fn refuse(socket: BorrowedFd<'_>) -> Result<bool> {
    /// `include/uapi/asm-generic/socket.h`; the libraries do not know it yet.
    const SO_PASSRIGHTS: libc::c_int = 83;
    let off: libc::c_int = 0;
    let size = libc::socklen_t::try_from(size_of_val(&off)).unwrap_or(libc::socklen_t::MAX);
    // SAFETY: `off` is as long as `size` says and lives longer than the call, which only reads it.
    let returned = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PASSRIGHTS,
            (&raw const off).cast(),
            size,
        )
    };
    match check("setsockopt", returned.into(), || "SO_PASSRIGHTS") {
        Ok(_) => Ok(true),
        Err(error) if error.errno() == libc::ENOPROTOOPT => Ok(false),
        Err(error) => Err(error),
    }
}

/// Closes every descriptor of a just forked child from number 3 on, except `keep`.
///
/// Takes the proof of being a forked child: what is closed here belongs to objects of the parent
/// that the child has copies of and must not use again.
///
/// # Errors
/// The errno of close_range(2).
pub fn close_all_except(_proof: &Child, keep: &[BorrowedFd<'_>]) -> Result<()> {
    let numbers = keep.iter().map(|fd| fd.as_raw_fd()).collect::<Vec<_>>();
    gaps(&numbers).try_for_each(|(first, last)| close_range(first, last, 0))
}

/// Marks every descriptor close-on-exec, except the standard streams and the numbers in `keep`.
/// Closes nothing.
///
/// # Errors
/// The errno of close_range(2); EINVAL before Linux 5.11.
pub fn set_cloexec_except(keep: &[RawFd]) -> Result<()> {
    gaps(keep).try_for_each(|(first, last)| close_range(first, last, libc::CLOSE_RANGE_CLOEXEC))
}

/// The ranges of numbers from [`FIRST`] on without those in `keep`.
fn gaps(keep: &[RawFd]) -> impl Iterator<Item = (RawFd, RawFd)> + use<> {
    let keep = keep
        .iter()
        .copied()
        .filter(|number| *number >= FIRST)
        .collect::<BTreeSet<_>>();
    let starts = [FIRST]
        .into_iter()
        .chain(keep.iter().map(|n| n.saturating_add(1)));
    let starts = starts.collect::<Vec<_>>();
    let ends = keep
        .into_iter()
        .map(|n| n.saturating_sub(1))
        .chain([RawFd::MAX]);
    starts
        .into_iter()
        .zip(ends)
        .filter(|(first, last)| first <= last)
}

fn close_range(first: RawFd, last: RawFd, flags: libc::c_uint) -> Result<()> {
    // SAFETY: touches no memory. Whether closing those numbers is right is decided by the callers:
    // one only sets a flag, the other has the proof that the objects behind them are copies.
    let returned = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    check("close_range", returned, || {
        format!("{first}..={last}, flags {flags:#x}")
    })
    .map(drop)
}

/// Moves a descriptor to the lowest free number that is at least `minimum`.
///
/// # Errors
/// The errno of fcntl(2) F_DUPFD_CLOEXEC: EINVAL beyond RLIMIT_NOFILE, EMFILE when all are taken.
pub fn lift(descriptor: OwnedFd, minimum: RawFd) -> Result<OwnedFd> {
    if descriptor.as_raw_fd() >= minimum {
        return Ok(descriptor);
    }
    rustix::io::fcntl_dupfd_cloexec(&descriptor, minimum)
        .map_err(|e| Error::new("fcntl", format!("F_DUPFD_CLOEXEC from {minimum}"), e))
}

/// Gives descriptors the numbers a program was promised; they stay open across execve(2).
///
/// Sources may overlap targets in any way: all are moved out of the way first. A target that is
/// already open as something else is refused (EBUSY), except the standard streams 0, 1 and 2,
/// which are replaced. The descriptors are given up: from here on they belong to the program that
/// is about to be executed.
///
/// # Errors
/// EINVAL for a negative or repeated target, EBUSY as above, the errno of fcntl(2) and dup3(2).
pub fn place(descriptors: Vec<(OwnedFd, RawFd)>) -> Result<()> {
    let targets = descriptors
        .iter()
        .map(|(_, target)| *target)
        .collect::<BTreeSet<_>>();
    if targets.len() != descriptors.len() || targets.first().is_some_and(|first| *first < 0) {
        return Err(Error::from_errno(
            "dup3",
            format!("targets {targets:?}"),
            libc::EINVAL,
        ));
    }
    let above = targets
        .last()
        .map_or(FIRST, |last| last.saturating_add(1))
        .max(FIRST);
    let mut lifted = Vec::with_capacity(descriptors.len());
    for (descriptor, target) in descriptors {
        lifted.push((lift(descriptor, above)?, target));
    }
    for (descriptor, target) in &lifted {
        if *target >= FIRST && is_open(*target) {
            return Err(Error::from_errno(
                "dup3",
                format!("{target} is in use"),
                libc::EBUSY,
            ));
        }
        // SAFETY: touches no memory. The target is a standard stream or was found closed by the
        // line above, so no object of this process owns the number that is overwritten.
        let returned = unsafe { libc::dup3(descriptor.as_fd().as_raw_fd(), *target, 0) };
        check("dup3", returned.into(), || format!("to {target}"))?;
    }
    Ok(())
}

fn is_open(number: RawFd) -> bool {
    // SAFETY: F_GETFD only asks whether the number is open and touches no memory.
    unsafe { libc::fcntl(number, libc::F_GETFD) != -1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::IntoRawFd;

    #[test]
    fn standard_streams_and_closed_numbers_are_not_adopted() {
        for number in [-1, 0, 1, 2, 1_000_000] {
            assert_eq!(adopt(number).unwrap_err().errno(), libc::EBADF, "{number}");
        }
    }

    #[test]
    fn gaps_leave_out_what_is_kept() {
        let of = |keep: &[RawFd]| gaps(keep).collect::<Vec<_>>();
        assert_eq!(of(&[]), [(3, RawFd::MAX)]);
        assert_eq!(of(&[0, 1, 2, 3]), [(4, RawFd::MAX)]);
        assert_eq!(of(&[9, 5, 5, 6]), [(3, 4), (7, 8), (10, RawFd::MAX)]);
    }

    #[test]
    fn number_is_adopted_once() {
        let number = lift(File::open("/dev/null").unwrap().into(), 500)
            .unwrap()
            .into_raw_fd();
        let adopted = adopt(number).unwrap();
        assert_eq!(adopt(number).unwrap_err().errno(), libc::EBUSY);
        let flags = rustix::io::fcntl_getfd(&adopted).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }

    #[test]
    fn swapped_targets_do_not_collide() {
        // Two descriptors that want each other's number: a naive dup2 in order loses one of them.
        let one = lift(File::open("/dev/null").unwrap().into(), 600).unwrap();
        let two = lift(File::open("/dev/zero").unwrap().into(), 601).unwrap();
        let numbers = (one.as_raw_fd(), two.as_raw_fd());
        place(vec![(one, numbers.1), (two, numbers.0)]).unwrap();
        let null = std::fs::read_link(format!("/proc/self/fd/{}", numbers.1)).unwrap();
        let zero = std::fs::read_link(format!("/proc/self/fd/{}", numbers.0)).unwrap();
        assert_eq!(null, std::path::Path::new("/dev/null"));
        assert_eq!(zero, std::path::Path::new("/dev/zero"));
        drop((adopt(numbers.0).unwrap(), adopt(numbers.1).unwrap()));
    }

    #[test]
    fn foreign_descriptor_is_not_overwritten() {
        let foreign = lift(File::open("/dev/null").unwrap().into(), 700).unwrap();
        let source: OwnedFd = File::open("/dev/zero").unwrap().into();
        let error = place(vec![(source, foreign.as_raw_fd())]).unwrap_err();
        assert_eq!(error.errno(), libc::EBUSY);
    }

    #[test]
    fn repeated_target_is_refused() {
        let descriptors = vec![
            (OwnedFd::from(File::open("/dev/null").unwrap()), 800),
            (OwnedFd::from(File::open("/dev/null").unwrap()), 800),
        ];
        assert_eq!(place(descriptors).unwrap_err().errno(), libc::EINVAL);
    }
}
