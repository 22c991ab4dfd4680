//! Programs that decide about device access in a version 2 control group, bpf(2).

use crate::Result;
use crate::error::check;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// One instruction of an eBPF program (`struct bpf_insn`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u8,
    /// Destination register in the lower, source in the upper four bits.
    registers: u8,
    /// Distance of a jump, or offset of a load.
    pub offset: i16,
    /// Constant operand.
    pub constant: i32,
}

impl Instruction {
    /// Puts an instruction together; registers are 0 to 10.
    pub const fn new(
        code: u8,
        destination: u8,
        source: u8,
        offset: i16,
        constant: i32,
    ) -> Instruction {
        // The kernel's bit-fields follow the byte order of the machine.
        let registers = if cfg!(target_endian = "little") {
            (source & 0xf) << 4 | destination & 0xf
        } else {
            (destination & 0xf) << 4 | source & 0xf
        };
        Instruction {
            code,
            registers,
            offset,
            constant,
        }
    }

    /// Number of the destination register.
    pub const fn destination(self) -> u8 {
        if cfg!(target_endian = "little") {
            self.registers & 0xf
        } else {
            self.registers >> 4
        }
    }

    /// Number of the source register.
    pub const fn source(self) -> u8 {
        if cfg!(target_endian = "little") {
            self.registers >> 4
        } else {
            self.registers & 0xf
        }
    }
}

// linux/bpf.h
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_ATTACH: libc::c_long = 8;
const BPF_PROG_QUERY: libc::c_long = 16;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 2;

/// The part of `union bpf_attr` that `BPF_PROG_LOAD` needs, up to the log.
#[repr(C)]
struct LoadAttributes {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
    kernel_version: u32,
    program_flags: u32,
}

/// The part of `union bpf_attr` that `BPF_PROG_ATTACH` needs.
#[repr(C)]
struct AttachAttributes {
    target: RawFd,
    program: RawFd,
    attach_type: u32,
    attach_flags: u32,
}

/// The part of `union bpf_attr` that `BPF_PROG_QUERY` needs.
#[repr(C)]
struct QueryAttributes {
    target: RawFd,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    program_ids: u64,
    program_count: u32,
    reserved: u32,
}

fn bpf<T>(name: &'static str, command: libc::c_long, attributes: &mut T) -> Result<i64> {
    // SAFETY: `attributes` is a live, exclusively borrowed struct of the size passed, laid out as
    // the prefix of `union bpf_attr` that `command` reads; the kernel takes what follows as zero
    // and writes within that size only. Pointers in it are the callers' to keep alive.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            size_of::<T>(),
        )
    };
    check("bpf", returned, || name)
}

/// Loads a program for device access in a control group.
///
/// # Errors
/// The errno of bpf(2): EPERM without CAP_BPF and CAP_NET_ADMIN, EINVAL or EACCES for a program
/// the kernel's checker refuses, or where the kernel has no such programs.
pub fn load_cgroup_device(program: &[Instruction]) -> Result<OwnedFd> {
    // The program calls no function of the kernel, so its license gives it nothing.
    let license = c"";
    let mut attributes = LoadAttributes {
        program_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        // Too long a program becomes an empty one, which the kernel refuses.
        instruction_count: u32::try_from(program.len()).unwrap_or(0),
        instructions: program.as_ptr().expose_provenance() as u64,
        license: license.as_ptr().expose_provenance() as u64,
        log_level: 0,
        log_size: 0,
        log_buffer: 0,
        kernel_version: 0,
        program_flags: 0,
    };
    let returned = bpf("BPF_PROG_LOAD", BPF_PROG_LOAD, &mut attributes)?;
    let descriptor = RawFd::try_from(returned).unwrap_or(-1);
    if descriptor < 0 {
        return Err(crate::Error::from_errno(
            "bpf",
            "BPF_PROG_LOAD",
            libc::EBADF,
        ));
    }
    // SAFETY: the kernel just made this descriptor for us, close-on-exec, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Attaches a loaded program to a control group of version 2, beside those that are there. It
/// stays until the group is removed, whatever happens to the descriptors.
///
/// # Errors
/// The errno of bpf(2): EBADF if `group` is no such group, EPERM without CAP_NET_ADMIN or if a
/// program of a group above forbids it.
pub fn attach_cgroup_device(group: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<()> {
    let mut attributes = AttachAttributes {
        target: group.as_raw_fd(),
        program: program.as_raw_fd(),
        attach_type: BPF_CGROUP_DEVICE,
        attach_flags: BPF_F_ALLOW_MULTI,
    };
    bpf("BPF_PROG_ATTACH", BPF_PROG_ATTACH, &mut attributes).map(drop)
}

/// Counts the device programs attached to this very group.
///
/// # Errors
/// The errno of bpf(2): EBADF if `group` is no control group of version 2.
pub fn count_cgroup_device(group: BorrowedFd<'_>) -> Result<u32> {
    let mut attributes = QueryAttributes {
        target: group.as_raw_fd(),
        attach_type: BPF_CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        program_ids: 0,
        program_count: 0,
        reserved: 0,
    };
    bpf("BPF_PROG_QUERY", BPF_PROG_QUERY, &mut attributes)?;
    Ok(attributes.program_count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn registers_are_packed_and_unpacked() {
        let instruction = Instruction::new(0xbf, 3, 9, -1, -2);
        assert_eq!((instruction.destination(), instruction.source()), (3, 9));
        assert_eq!(size_of::<Instruction>(), 8);
    }

    #[test]
    fn a_program_the_checker_refuses_is_not_loaded() {
        let nothing = load_cgroup_device(&[]).unwrap_err();
        assert_eq!(nothing.errno(), libc::E2BIG);
        // Ends without an answer in register 0.
        let error = load_cgroup_device(&[Instruction::new(0x95, 0, 0, 0, 0)]).unwrap_err();
        assert!(
            [libc::EACCES, libc::EINVAL, libc::EPERM].contains(&error.errno()),
            "{error:?}"
        );
    }

    #[test]
    fn a_directory_that_is_no_group_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let directory = std::fs::File::open(directory.path()).unwrap();
        assert_eq!(
            count_cgroup_device(directory.as_fd()).unwrap_err().errno(),
            libc::EBADF
        );
    }
}
