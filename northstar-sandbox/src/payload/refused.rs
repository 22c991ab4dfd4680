//! What capabilities do not include: calls that lead out of the container and ask for nothing but
//! a capability.

use caps::Capability;
use northstar_sys::seccomp::Instruction;
use rustix::io::Errno;

use crate::plan::CapabilitySet;

/// A call that is refused to whoever has the capability for it.
struct Refused {
    capability: Capability,
    /// The number of the call on each of [`ARCHITECTURES`].
    numbers: [u32; 2],
}

/// `AUDIT_ARCH_*` of `linux/audit.h`: the one this is built for, and its 32-bit relative.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURES: [u32; 2] = [0xc000_003e, 0x4000_0003];
#[cfg(target_arch = "aarch64")]
const ARCHITECTURES: [u32; 2] = [0xc000_00b7, 0x4000_0028];
#[cfg(target_arch = "riscv64")]
const ARCHITECTURES: [u32; 2] = [0xc000_00f3, 0x4000_00f3];

/// open_by_handle_at(2) on each of [`ARCHITECTURES`].
#[cfg(target_arch = "x86_64")]
const OPEN_BY_HANDLE_AT: [u32; 2] = [304, 342];
#[cfg(target_arch = "aarch64")]
const OPEN_BY_HANDLE_AT: [u32; 2] = [265, 371];
#[cfg(target_arch = "riscv64")]
const OPEN_BY_HANDLE_AT: [u32; 2] = [265, 265];

const REFUSED: &[Refused] = &[
    // pidfd_getfd(2), for the descriptors of other processes: it does not even ask for one of the
    // same pid namespace, and a pidfd of the daemon is one getsockopt(2) away, SO_PEERPIDFD of any
    // socket that came from it. With the daemon's descriptors a container would own the host.
    // From 424 on all architectures count alike.
    Refused {
        capability: Capability::CAP_SYS_PTRACE,
        numbers: [438, 438],
    },
    // open_by_handle_at(2), for files that no path of the container leads to: one descriptor of a
    // file system opens every file of it by its number, of the whole disk that a persistent
    // directory or a bind of the host is on, with the flags of that mount.
    Refused {
        capability: Capability::CAP_DAC_READ_SEARCH,
        numbers: OPEN_BY_HANDLE_AT,
    },
];

/// The program, in front of those of the plan, that forbids a payload with `capabilities` the calls
/// it could use (EPERM). `None` if there are none.
pub(super) fn filter(capabilities: CapabilitySet) -> Option<Vec<Instruction>> {
    let calls = REFUSED
        .iter()
        .filter(|call| capabilities.contains(call.capability))
        .map(|call| call.numbers)
        .collect::<Vec<_>>();
    (!calls.is_empty()).then(|| program(&calls))
}

fn program(calls: &[[u32; 2]]) -> Vec<Instruction> {
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
    let mut program = Vec::new();
    for [native, relative] in calls {
        for (architecture, number) in ARCHITECTURES.into_iter().zip([*native, *relative]) {
            program.extend([
                instruction(LOAD, 0, 0, ARCHITECTURE),
                // Behind the answer.
                instruction(JUMP_IF_EQUAL, 0, 4, architecture),
                instruction(LOAD, 0, 0, NUMBER),
                instruction(AND, 0, 0, WITHOUT_X32),
                instruction(JUMP_IF_EQUAL, 0, 1, number),
                instruction(RETURN, 0, 0, DENY),
            ]);
        }
    }
    program.push(instruction(RETURN, 0, 0, ALLOW));
    program
}

#[cfg(test)]
mod tests {
    use super::*;
    use syscalls::Sysno;

    const ALLOW: u32 = 0x7fff_0000;
    const EPERM: u32 = 0x0005_0001;

    /// What the kernel would answer, for the instructions that are used here.
    fn answer(program: &[Instruction], architecture: u32, number: u32) -> u32 {
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let Instruction { code, jt, jf, k } = program[at];
            at += 1;
            match code {
                0x20 => accumulator = if k == 0 { number } else { architecture },
                0x54 => accumulator &= k,
                0x15 => at += usize::from(if accumulator == k { jt } else { jf }),
                0x06 => return k,
                other => panic!("{other:#x}"),
            }
        }
    }

    #[test]
    fn numbers_are_those_of_the_calls() {
        let native = |call: Sysno| u32::try_from(call.id()).unwrap();
        let calls = [Sysno::pidfd_getfd, Sysno::open_by_handle_at].map(native);
        assert!(REFUSED.iter().map(|call| call.numbers[0]).eq(calls));
    }

    #[test]
    fn a_call_is_refused_to_those_alone_who_could_use_it() {
        for with in [0, 1, 2, 3] {
            let has = |index: usize| with >> index & 1 == 1;
            let given = REFUSED.iter().enumerate().filter(|(index, _)| has(*index));
            let given = given.map(|(_, call)| call.capability).collect();
            let Some(program) = filter(given) else {
                assert_eq!(with, 0);
                continue;
            };
            for (place, architecture) in ARCHITECTURES.into_iter().enumerate() {
                for number in 0..600 {
                    let mut refused = (0..).zip(REFUSED);
                    let refused =
                        refused.any(|(index, call)| has(index) && call.numbers[place] == number);
                    let expected = if refused { EPERM } else { ALLOW };
                    for number in [number, number | 0x4000_0000] {
                        let found = answer(&program, architecture, number);
                        assert_eq!(found, expected, "{architecture:#x} {number:#x}");
                    }
                }
            }
        }
    }

    #[test]
    fn other_capabilities_need_no_program() {
        let refused = REFUSED.iter().map(|call| call.capability);
        let refused = refused.collect::<std::collections::HashSet<_>>();
        let others = caps::all().into_iter().filter(|c| !refused.contains(c));
        assert!(filter(others.collect()).is_none());
    }
}
