//! What capabilities do not include: calls that lead out of the container and ask for nothing but
//! a capability.

use caps::Capability;
use northstar_sys::seccomp::{self, ARCHITECTURES, Instruction, and, answer, jump_if_equal, load};

use crate::plan::CapabilitySet;

/// A call that is refused to whoever has the capability for it.
struct Refused {
    capability: Capability,
    /// The number of the call on each of [`ARCHITECTURES`].
    numbers: [u32; 2],
}

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
    const WITHOUT_X32: u32 = !0x4000_0000;
    let mut program = Vec::new();
    for [native, relative] in calls {
        for (architecture, number) in ARCHITECTURES.into_iter().zip([*native, *relative]) {
            program.extend([
                load(seccomp::ARCHITECTURE),
                // Behind the answer.
                jump_if_equal(architecture, 0, 4),
                load(seccomp::NUMBER),
                and(WITHOUT_X32),
                jump_if_equal(number, 0, 1),
                answer(seccomp::DENY),
            ]);
        }
    }
    program.push(answer(seccomp::ALLOW));
    program
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seccomp::tests::interpreter::{Call, EPERM, Verdict, run};
    use syscalls::Sysno;

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
            let program = [program.into_iter().map(Into::into).collect()];
            for (place, arch) in ARCHITECTURES.into_iter().enumerate() {
                for number in 0..600 {
                    let mut refused = (0..).zip(REFUSED);
                    let refused =
                        refused.any(|(index, call)| has(index) && call.numbers[place] == number);
                    let expected = if refused { EPERM } else { Verdict::Allow };
                    for number in [number, number | 0x4000_0000] {
                        let args = [0; 6];
                        let found = run(&program, &Call { number, arch, args });
                        assert_eq!(found, expected, "{arch:#x} {number:#x}");
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
