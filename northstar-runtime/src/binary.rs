//! The daemon's own program, out of reach of containers.
//!
//! Forker and inits are forked from the daemon, so `/proc/1/exe` in a container is the file that the daemon was executed
//! from. Whoever opens that link for writing, once nothing executes the file any more, owns the host the next time the
//! daemon is started (CVE-2019-5736). So the daemon executes itself once more, before it does anything else, from a copy in
//! memory whose seals (memfd_create(2), F_ADD_SEALS of fcntl(2)) nobody can take off, not even root. A read-only mount
//! of the program file would be no replacement: pages of the page cache are shared with every other mount of the file.

use northstar_sys::{
    exec::Program,
    memfd::{self, Content},
    process::is_more_privileged_than_its_caller,
};
use rustix::{
    io::Errno,
    process::geteuid,
    thread::{
        CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
        configure_capability_in_ambient_set, set_capabilities,
    },
};
use std::{
    convert::Infallible,
    ffi::{CString, OsString},
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{ffi::OsStringExt, fs::FileExt},
    },
};

/// The program that this process executes.
const OWN_PROGRAM: &str = "/proc/self/exe";
/// Name of the copy: `/proc/PID/exe` is `/memfd:northstar (deleted)`.
const NAME: &str = "northstar";
/// Name in `/proc/PID/comm`, which the kernel derives from the copy otherwise: what pgrep(1) and ps(1) know the daemon by.
const COMM: &std::ffi::CStr = c"northstar";
/// All that a daemon keeps of the environment of somebody who has fewer privileges. The C library itself removes what it knows
/// to be dangerous to it, and not every one does; it leaves what secure_getenv(3) hides from libraries. The copy, which
/// gains nothing by its execution, would load and obey all of it.
const HARMLESS: [&str; 3] = ["PATH", "RUST_BACKTRACE", "RUST_LOG"];
/// Most bytes that one sendfile(2) is asked for; the kernel itself stops a page before 2 GiB.
const CHUNK: usize = 1 << 30;

/// Why the daemon does not execute a sealed copy of itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BinaryError {
    /// The program file cannot be opened: `/proc` is not mounted, for example.
    #[error("cannot open the own program, {OWN_PROGRAM}")]
    Open(#[source] io::Error),
    /// The administrator of the machine forbids memory that can be executed.
    #[error(
        "vm.memfd_noexec forbids to execute the daemon from memory, where containers cannot alter it; \
         set it to 0 or 1, or put the program on a file system that cannot be written and use --execute-in-place"
    )]
    Forbidden(#[source] northstar_sys::Error),
    /// The memory file cannot be made or sealed.
    #[error("cannot make a sealed memory file")]
    Memory(#[source] northstar_sys::Error),
    /// The program cannot be copied into memory.
    #[error("cannot copy the own program into memory")]
    Copy(#[source] io::Error),
    /// The capabilities of the program file cannot be handed to the copy, which has none.
    #[error("cannot keep the capabilities of the own program")]
    Capabilities(#[source] io::Error),
    /// The copy cannot be executed.
    #[error("cannot execute the copy of the own program")]
    Execute(#[source] io::Error),
}

/// Replaces this process by a sealed copy of its program, with the same arguments, environment and inherited descriptors;
/// of the environment only PATH, RUST_BACKTRACE and RUST_LOG, if the file of the program gives privileges that the caller
/// does not have. Returns if it is such a copy already. To be called with one thread, and before anything is opened that has to
/// survive.
///
/// # Errors
///
/// See [`BinaryError`]. Nothing has changed then.
pub fn execute_sealed_copy() -> Result<(), BinaryError> {
    let program = File::open(OWN_PROGRAM).map_err(BinaryError::Open)?;
    if is_sealed(&program) {
        // For those who look, not for the daemon: nothing depends on it.
        let _unnamed = rustix::thread::set_name(COMM);
        return drop_inherited_capabilities()
            .map_err(|error| BinaryError::Capabilities(error.into()));
    }
    let copy = copy(&program)?;
    drop(program);
    inherit_capabilities().map_err(|error| BinaryError::Capabilities(error.into()))?;
    match execute(&copy)? {}
}

/// Whether nobody can change `program` any more. The seals say so and nothing that could be handed to a new process, like a
/// variable or an argument: whoever starts the daemon cannot pretend.
fn is_sealed(program: &File) -> bool {
    // EINVAL: no memory file.
    memfd::is_sealed(program.as_fd()).unwrap_or(false)
}

/// A daemon that is not root may have its capabilities from its program file, and the copy has none. What is ambient
/// passes on to a program without (capabilities(7)).
fn inherit_capabilities() -> Result<(), Errno> {
    if geteuid().is_root() {
        return Ok(());
    }
    let permitted = capabilities(None)?.permitted;
    let sets = CapabilitySets {
        effective: permitted,
        permitted,
        inheritable: permitted,
    };
    set_capabilities(None, sets)?;
    permitted
        .iter()
        .try_for_each(|capability| configure_capability_in_ambient_set(capability, true))
}

/// The other end: nothing that the daemon executes has to inherit anything.
fn drop_inherited_capabilities() -> Result<(), Errno> {
    if geteuid().is_root() {
        return Ok(());
    }
    clear_ambient_capability_set()?;
    let sets = CapabilitySets {
        inheritable: CapabilitySet::empty(),
        ..capabilities(None)?
    };
    set_capabilities(None, sets)
}

fn copy(program: &File) -> Result<OwnedFd, BinaryError> {
    let copy = memfd::create(NAME, Content::Program).map_err(refused)?;
    let mut rest = loaded(program).unwrap_or(u64::MAX);
    while rest > 0 {
        let count = usize::try_from(rest).unwrap_or(CHUNK).min(CHUNK);
        match rustix::fs::sendfile(&copy, program, None, count) {
            Ok(0) => break,
            Ok(count) => rest = rest.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX)),
            Err(Errno::INTR) => {}
            Err(error) => return Err(BinaryError::Copy(error.into())),
        }
    }
    memfd::seal(copy.as_fd()).map_err(BinaryError::Memory)?;
    Ok(copy)
}

/// How much of the file is needed to execute it, up to the end of its last segment (elf(5)): sections for debuggers, several
/// times as large, come behind. `None`: all of it, because it is of another kind than expected.
fn loaded(program: &File) -> Option<u64> {
    /// 64 bits, least significant byte first.
    const KIND: &[u8] = b"\x7fELF\x02\x01";
    const HEADER: usize = 64;
    const SEGMENT: usize = 56;
    let mut header = [0; HEADER];
    program.read_exact_at(&mut header, 0).ok()?;
    let table = number(&header, 32)?;
    let size = u16::from_le_bytes(*header.get(54..)?.first_chunk()?);
    let count = u16::from_le_bytes(*header.get(56..)?.first_chunk()?);
    if !header.starts_with(KIND) || usize::from(size) != SEGMENT {
        return None;
    }
    let mut segments = vec![0; usize::from(count).checked_mul(SEGMENT)?];
    program.read_exact_at(&mut segments, table).ok()?;
    let end_of_table = table.checked_add(u64::try_from(segments.len()).ok()?)?;
    let ends = segments
        .chunks_exact(SEGMENT)
        .map(|segment| number(segment, 8)?.checked_add(number(segment, 32)?));
    ends.chain([Some(end_of_table)])
        .collect::<Option<Vec<_>>>()?
        .into_iter()
        .max()
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*bytes))
}

/// EACCES of memfd_create(2) has one reason: see `vm.memfd_noexec` in the kernel's `admin-guide/sysctl/vm.rst`.
fn refused(error: northstar_sys::Error) -> BinaryError {
    if error.errno() == Errno::ACCESS.raw_os_error() {
        BinaryError::Forbidden(error)
    } else {
        BinaryError::Memory(error)
    }
}

fn execute(copy: &OwnedFd) -> Result<Infallible, BinaryError> {
    let terminated = |string: OsString| CString::new(string.into_vec());
    let arguments = std::env::args_os().map(terminated);
    let trusted = !is_more_privileged_than_its_caller();
    let environment = std::env::vars_os()
        .filter(|(variable, _)| trusted || HARMLESS.iter().any(|harmless| variable == harmless));
    let environment = environment.map(|(mut variable, value)| {
        variable.push("=");
        variable.push(value);
        terminated(variable)
    });
    let arguments = arguments.collect::<Result<Vec<_>, _>>();
    let environment = environment.collect::<Result<Vec<_>, _>>();
    // They came from the kernel, where a null byte ends them.
    let (Ok(arguments), Ok(environment)) = (arguments, environment) else {
        return Err(BinaryError::Execute(Errno::INVAL.into()));
    };
    let program = Program::new(CString::from(COMM), arguments, environment);
    let errno = program.execute_file(copy.as_fd());
    Err(BinaryError::Execute(io::Error::from_raw_os_error(errno)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_has_all_bytes_that_are_loaded_and_is_sealed() {
        let program = File::open(OWN_PROGRAM).unwrap();
        assert!(!is_sealed(&program));
        let copy = File::from(copy(&program).unwrap());
        assert!(is_sealed(&copy));
        let mut copied = Vec::new();
        io::Seek::rewind(&mut &copy).unwrap();
        io::Read::read_to_end(&mut &copy, &mut copied).unwrap();
        let whole = std::fs::read(OWN_PROGRAM).unwrap();
        assert!(whole.starts_with(&copied));
        assert_eq!(loaded(&program), Some(copied.len().try_into().unwrap()));
        // The kernel's list of what it has mapped is the other opinion: file offset and length of each line.
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let own = std::fs::read_link(OWN_PROGRAM).unwrap();
        let own = maps
            .lines()
            .filter(|line| line.ends_with(own.to_str().unwrap()));
        let places = own.map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (start, end) = words[0].split_once('-').unwrap();
            let hex = |word| usize::from_str_radix(word, 16).unwrap();
            (hex(words[2]), hex(end) - hex(start))
        });
        // Whoever prints a backtrace maps the whole file once more.
        let places = places.filter(|(_, length)| *length < whole.len());
        let ends = places.map(|(offset, length)| offset + length);
        let end = ends.max().unwrap();
        // Whole pages, of 64 KiB at most.
        assert!(
            (copied.len()..copied.len() + 0x1_0000).contains(&end),
            "{end}"
        );
    }

    #[test]
    fn what_is_no_program_of_this_kind_is_copied_whole() {
        let content = |bytes: &[u8]| {
            let file = memfd::sealed("test", bytes, Content::Data).unwrap();
            loaded(&File::from(file))
        };
        let mut header = [0; 64];
        header[..6].copy_from_slice(b"\x7fELF\x02\x01");
        header[54] = 56;
        assert_eq!(content(&header), Some(0));
        // Another class, another order of bytes, another table, a table that is not there, and no header at all.
        for (at, value) in [(4, 1), (5, 2), (54, 57), (56, 2)] {
            let mut other = header;
            other[at] = value;
            assert_eq!(content(&other), None, "{at}");
        }
        assert_eq!(content(b"#!/bin/sh\n"), None);
    }

    #[test]
    fn forbidden_memory_is_told_from_no_memory() {
        let error = |errno: Errno| {
            let arguments = "northstar, Program";
            refused(northstar_sys::Error::from_errno(
                "memfd_create",
                arguments,
                errno.raw_os_error(),
            ))
        };
        assert!(matches!(error(Errno::ACCESS), BinaryError::Forbidden(_)));
        assert!(matches!(error(Errno::NOMEM), BinaryError::Memory(_)));
    }
}
