//! What CAP_DAC_READ_SEARCH does not include: files that no path of the container leads to.
//!
//! open_by_handle_at(2) asks for nothing but that capability, and one descriptor of a file system opens every file of it by
//! its number: of the whole disk that a persistent directory or a bind of the host is on, with the flags of that mount.

use caps::Capability;
use northstar_sys::seccomp::Instruction;
use rustix::io::Errno;

use crate::plan::CapabilitySet;

/// The program that forbids open_by_handle_at(2) (EPERM) to a payload that could use it, in front
/// of those of the plan.
pub(super) fn filter(capabilities: CapabilitySet) -> Option<Vec<Instruction>> {
    capabilities
        .contains(Capability::CAP_DAC_READ_SEARCH)
        .then(program)
}

/// Number of the call by architecture (`AUDIT_ARCH_*` of `linux/audit.h`): of the one this is built
/// for, and of its 32-bit relative.
#[cfg(target_arch = "x86_64")]
const NUMBERS: [(u32, u32); 2] = [(0xc000_003e, 304), (0x4000_0003, 342)];
#[cfg(target_arch = "aarch64")]
const NUMBERS: [(u32, u32); 2] = [(0xc000_00b7, 265), (0x4000_0028, 371)];
#[cfg(target_arch = "riscv64")]
const NUMBERS: [(u32, u32); 2] = [(0xc000_00f3, 265), (0x4000_00f3, 265)];

fn program() -> Vec<Instruction> {
    const LOAD: u16 = 0x20;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const ALLOW: u32 = 0x7fff_0000;
    const DENY: u32 = 0x0005_0000 | Errno::PERM.raw_os_error() as u32;
    /// Offsets in `struct seccomp_data`.
    const NUMBER: u32 = 0;
    const ARCHITECTURE: u32 = 4;
    const WITHOUT_X32: u32 = !0x4000_0000;
    let instruction = |code, jt, jf, k| Instruction { code, jt, jf, k };
    let one = |(architecture, number)| {
        [
            instruction(LOAD, 0, 0, ARCHITECTURE),
            // Behind the answer.
            instruction(JUMP_IF_EQUAL, 0, 4, architecture),
            instruction(LOAD, 0, 0, NUMBER),
            instruction(AND, 0, 0, WITHOUT_X32),
            instruction(JUMP_IF_EQUAL, 0, 1, number),
            instruction(RETURN, 0, 0, DENY),
        ]
    };
    let mut program: Vec<Instruction> = NUMBERS.into_iter().flat_map(one).collect();
    program.push(instruction(RETURN, 0, 0, ALLOW));
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_is_that_of_the_call() {
        let number = u32::try_from(syscalls::Sysno::open_by_handle_at.id()).unwrap();
        assert_eq!(NUMBERS[0].1, number);
    }

    #[test]
    fn only_who_may_read_everything_is_filtered() {
        let capability = Capability::CAP_DAC_READ_SEARCH;
        assert!(filter(CapabilitySet::EMPTY).is_none());
        let others = caps::all().into_iter().filter(|c| *c != capability);
        assert!(filter(others.collect()).is_none());
        assert!(filter([capability].into_iter().collect()).is_some());
    }
}
