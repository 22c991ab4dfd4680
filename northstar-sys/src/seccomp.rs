//! Installs a finished seccomp program, seccomp(2). Neither allocates nor locks: an earlier
//! program may already forbid what the allocator needs.

use crate::Result;
use crate::error::check;
use crate::uapi::SECCOMP_SET_MODE_FILTER;

/// One instruction of a classic BPF program (`struct sock_filter`).
pub type Instruction = libc::sock_filter;

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

    const RETURN: u16 = 0x06;
    const ALLOW: u32 = 0x7fff_0000;

    #[test]
    fn empty_and_oversized_programs_are_refused() {
        assert_eq!(install(&[]).unwrap_err().errno(), libc::EINVAL);
        let instruction = Instruction {
            code: RETURN,
            jt: 0,
            jf: 0,
            k: ALLOW,
        };
        let error = install(&vec![instruction; 70_000]).unwrap_err();
        assert_eq!(error.errno(), libc::EINVAL);
    }

    #[test]
    fn program_that_allows_everything_is_installed() {
        std::thread::spawn(|| {
            rustix::thread::set_no_new_privs(true).unwrap();
            install(&[Instruction {
                code: RETURN,
                jt: 0,
                jf: 0,
                k: ALLOW,
            }])
            .unwrap();
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            assert!(status.lines().any(|line| line == "Seccomp:\t2"), "{status}");
        })
        .join()
        .unwrap();
    }
}
