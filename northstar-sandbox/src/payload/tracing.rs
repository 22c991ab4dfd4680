//! What CAP_SYS_PTRACE does not include: the descriptors of other processes.
//!
//! pidfd_getfd(2) asks for nothing but that capability, not even for a process of the same pid
//! namespace, and a pidfd of the daemon is one getsockopt(2) away, SO_PEERPIDFD of any socket that
//! came from it. With the daemon's descriptors a container would own the host.

use caps::Capability;
use northstar_sys::seccomp::Instruction;
use rustix::io::Errno;

use crate::plan::CapabilitySet;

/// The program that forbids pidfd_getfd(2) (EPERM) to a payload that could use it, in front of
/// those of the plan.
pub(super) fn filter(capabilities: CapabilitySet) -> Option<Vec<Instruction>> {
    capabilities
        .contains(Capability::CAP_SYS_PTRACE)
        .then(program)
}

/// One number for every architecture and every system call interface of it: from 424 on they all
/// count alike, except that x32 sets a bit.
fn program() -> Vec<Instruction> {
    const LOAD: u16 = 0x20;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const ALLOW: u32 = 0x7fff_0000;
    const DENY: u32 = 0x0005_0000 | Errno::PERM.raw_os_error() as u32;
    const PIDFD_GETFD: u32 = 438;
    const WITHOUT_X32: u32 = !0x4000_0000;
    let instruction = |code, jt, jf, k| Instruction { code, jt, jf, k };
    vec![
        instruction(LOAD, 0, 0, 0),
        instruction(AND, 0, 0, WITHOUT_X32),
        instruction(JUMP_IF_EQUAL, 0, 1, PIDFD_GETFD),
        instruction(RETURN, 0, 0, DENY),
        instruction(RETURN, 0, 0, ALLOW),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_is_that_of_the_call() {
        let number = u32::try_from(syscalls::Sysno::pidfd_getfd.id()).unwrap();
        assert!(program().iter().any(|i| i.k == number), "{number}");
    }

    #[test]
    fn only_who_may_trace_is_filtered() {
        assert!(filter(CapabilitySet::EMPTY).is_none());
        let others = caps::all()
            .into_iter()
            .filter(|c| *c != Capability::CAP_SYS_PTRACE);
        assert!(filter(others.collect()).is_none());
        assert!(filter([Capability::CAP_SYS_PTRACE].into_iter().collect()).is_some());
    }
}
