//! Seccomp programs, seccomp(2): the instructions that short ones are made of, and the installation of a
//! finished one. That neither allocates nor locks: an earlier program may already forbid what the
//! allocator needs.

use crate::Result;
use crate::error::check;
use crate::uapi::SECCOMP_SET_MODE_FILTER;

/// One instruction of a classic BPF program (`struct sock_filter`).
pub type Instruction = libc::sock_filter;

/// `AUDIT_ARCH_*` of `linux/audit.h`: the architecture this is built for, and its 32-bit relative.
#[cfg(target_arch = "x86_64")]
pub const ARCHITECTURES: [u32; 2] = [0xc000_003e, 0x4000_0003];
/// `AUDIT_ARCH_*` of `linux/audit.h`: the architecture this is built for, and its 32-bit relative.
#[cfg(target_arch = "aarch64")]
pub const ARCHITECTURES: [u32; 2] = [0xc000_00b7, 0x4000_0028];
/// `AUDIT_ARCH_*` of `linux/audit.h`: the architecture this is built for, and its 32-bit relative.
#[cfg(target_arch = "riscv64")]
pub const ARCHITECTURES: [u32; 2] = [0xc000_00f3, 0x4000_00f3];

/// Where the number of a call is in `struct seccomp_data`, in bytes.
pub const NUMBER: u32 = 0;
/// Where the architecture is that the number is of, in bytes.
pub const ARCHITECTURE: u32 = 4;
/// Where the lower half of the second argument is, in bytes: all of these architectures have it first.
pub const SECOND_ARGUMENT: u32 = 24;

/// The answer that lets a call through.
pub const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
/// The answer that ends the process.
pub const KILL_PROCESS: u32 = libc::SECCOMP_RET_KILL_PROCESS;
/// The answer that a call is not permitted (EPERM).
pub const DENY: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;

/// Loads the 32 bits at `offset` of `struct seccomp_data`.
pub const fn load(offset: u32) -> Instruction {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset)
}

/// Keeps the bits of what was loaded that are in `mask`.
pub const fn and(mask: u32) -> Instruction {
    instruction(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, mask)
}

/// Passes over `equal` instructions if `value` was loaded, else over `other`.
pub const fn jump_if_equal(value: u32, equal: u8, other: u8) -> Instruction {
    let code = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    instruction(code, equal, other, value)
}

/// Ends the program with an answer.
pub const fn answer(answer: u32) -> Instruction {
    instruction(libc::BPF_RET | libc::BPF_K, 0, 0, answer)
}

const fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> Instruction {
    // Codes are numbers of 16 bits (`linux/bpf_common.h`).
    let code = code as u16;
    Instruction { code, jt, jf, k }
}

/// Puts every further system call of the calling thread under `program`, in addition to the
/// programs installed before.
///
/// # Errors
/// The errno of seccomp(2): EACCES without no_new_privs and CAP_SYS_ADMIN, EINVAL for a program
/// the kernel's checker refuses or that has no or too many instructions.
pub fn install(program: &[Instruction]) -> Result<()> {
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len()).unwrap_or(0),
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: `filter` points to `len` live instructions; the kernel copies and never writes them.
    // A program can only take permissions away from this thread, which breaks no memory.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            SECCOMP_SET_MODE_FILTER,
            0u32,
            &raw const filter,
        )
    };
    check("seccomp", returned, || "SECCOMP_SET_MODE_FILTER").map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_and_oversized_programs_are_refused() {
        assert_eq!(install(&[]).unwrap_err().errno(), libc::EINVAL);
        let error = install(&vec![answer(ALLOW); 70_000]).unwrap_err();
        assert_eq!(error.errno(), libc::EINVAL);
    }

    #[test]
    fn program_that_allows_everything_is_installed() {
        std::thread::spawn(|| {
            rustix::thread::set_no_new_privs(true).unwrap();
            install(&[answer(ALLOW)]).unwrap();
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            assert!(status.lines().any(|line| line == "Seccomp:\t2"), "{status}");
        })
        .join()
        .unwrap();
    }
}
