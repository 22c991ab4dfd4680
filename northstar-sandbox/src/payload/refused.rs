//! Calls that lead out of the container, whatever else keeps it in: they find what they act on by a descriptor, which
//! may come from anywhere.

use caps::Capability;
use northstar_sys::seccomp::{self, ARCHITECTURES, Instruction, and, answer, jump_if_equal, load};

use crate::plan::CapabilitySet;

/// A call that is refused to whoever could use it.
struct Refused {
    /// What it takes; `None`: nothing.
    capability: Option<Capability>,
    /// The numbers of the call on each of [`ARCHITECTURES`], first that of the native interface.
    numbers: [&'static [u32]; 2],
    /// Only with this in its second argument.
    second: Option<Bits>,
}

/// Bits of an argument of 32 bits.
struct Bits {
    mask: u32,
    value: u32,
}

/// ioctl(2) on each of [`ARCHITECTURES`]. It is one of the few calls that x32 has a number of its own for.
#[cfg(target_arch = "x86_64")]
const IOCTL: [&[u32]; 2] = [&[16, 514], &[54]];
#[cfg(target_arch = "aarch64")]
const IOCTL: [&[u32]; 2] = [&[29], &[54]];
#[cfg(target_arch = "riscv64")]
const IOCTL: [&[u32]; 2] = [&[29], &[29]];

/// open_by_handle_at(2) on each of [`ARCHITECTURES`].
#[cfg(target_arch = "x86_64")]
const OPEN_BY_HANDLE_AT: [&[u32]; 2] = [&[304], &[342]];
#[cfg(target_arch = "aarch64")]
const OPEN_BY_HANDLE_AT: [&[u32]; 2] = [&[265], &[371]];
#[cfg(target_arch = "riscv64")]
const OPEN_BY_HANDLE_AT: [&[u32]; 2] = [&[265], &[265]];

/// The first three take a pidfd, and none asks for a process of the same pid namespace. Whoever is at the other end of a
/// socket is one getsockopt(2) away, SO_PEERPIDFD: the daemon, other containers, programs of the host. With
/// CAP_SYS_PTRACE all of them are open, and without it those of the same user.
const REFUSED: &[Refused] = &[
    // pidfd_getfd(2), for the descriptors of another process. With those of the daemon a container would own the host.
    // From 424 on all architectures count alike.
    Refused {
        capability: None,
        numbers: [&[438], &[438]],
        second: None,
    },
    // PIDFD_GET_NET_NAMESPACE and its like, for the namespaces of another process (`linux/pidfd.h`, _IO of 0xff). Who
    // has CAP_NET_ADMIN governs the network of the host then.
    Refused {
        capability: None,
        numbers: IOCTL,
        second: Some(Bits {
            mask: 0xffff_ff00,
            value: 0xff00,
        }),
    },
    // process_madvise(2), for the memory of another process: it can be pushed out, and the answer tells which addresses
    // there are.
    Refused {
        capability: Some(Capability::CAP_SYS_NICE),
        numbers: [&[440], &[440]],
        second: None,
    },
    // open_by_handle_at(2), for files that no path of the container leads to: one descriptor of a
    // file system opens every file of it by its number, of the whole disk that a persistent
    // directory or a bind of the host is on, with the flags of that mount.
    Refused {
        capability: Some(Capability::CAP_DAC_READ_SEARCH),
        numbers: OPEN_BY_HANDLE_AT,
        second: None,
    },
];

/// The program, in front of those of the plan, that forbids a payload with `capabilities` the calls
/// it could use (EPERM).
pub(super) fn filter(capabilities: CapabilitySet) -> Vec<Instruction> {
    let could_use = |call: &&Refused| call.capability.is_none_or(|one| capabilities.contains(one));
    let mut program = Vec::new();
    for call in REFUSED.iter().filter(could_use) {
        for (architecture, numbers) in ARCHITECTURES.into_iter().zip(call.numbers) {
            for number in numbers {
                program.extend(refuse(architecture, *number, call.second.as_ref()));
            }
        }
    }
    program.push(answer(seccomp::ALLOW));
    program
}

/// Answers one call of one architecture; every other one goes on behind it.
fn refuse(architecture: u32, number: u32, second: Option<&Bits>) -> Vec<Instruction> {
    const WITHOUT_X32: u32 = !0x4000_0000;
    let argument = second.map_or(Vec::new(), |Bits { mask, value }| {
        vec![
            load(seccomp::SECOND_ARGUMENT),
            and(*mask),
            jump_if_equal(*value, 0, 1),
        ]
    });
    // The answer counts as one.
    let rest = argument.len() as u8 + 1;
    let mut program = vec![
        load(seccomp::ARCHITECTURE),
        jump_if_equal(architecture, 0, rest + 3),
        load(seccomp::NUMBER),
        and(WITHOUT_X32),
        jump_if_equal(number, 0, rest),
    ];
    program.extend(argument);
    program.push(answer(seccomp::DENY));
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
        let calls = [
            Sysno::pidfd_getfd,
            Sysno::ioctl,
            Sysno::process_madvise,
            Sysno::open_by_handle_at,
        ];
        let numbers = REFUSED.iter().map(|call| call.numbers[0][0]);
        assert!(numbers.eq(calls.map(native)));
    }

    /// `PIDFD_GET_CGROUP_NAMESPACE` to `PIDFD_GET_UTS_NAMESPACE`, and what every terminal and socket is asked.
    #[test]
    fn namespaces_are_refused_and_nothing_else_that_is_asked_by_ioctl() {
        let program = [filter(CapabilitySet::EMPTY)
            .into_iter()
            .map(Into::into)
            .collect()];
        for (place, arch) in ARCHITECTURES.into_iter().enumerate() {
            for number in IOCTL[place].iter().copied() {
                let verdict = |command: u64| {
                    let args = [3, command, 0, 0, 0, 0];
                    run(&program, &Call { number, arch, args })
                };
                for command in 0xff01..=0xff0a {
                    // The kernel looks at 32 bits.
                    for upper in [0, 1 << 32, 0xffff_ffff << 32] {
                        assert_eq!(verdict(upper | command), EPERM, "{command:#x}");
                    }
                }
                let others = [
                    0x5401,
                    0x5421,
                    0x8913,
                    0xc0ff_ff0b,
                    0x1_5401,
                    0xff00_0000,
                    0,
                ];
                for command in others {
                    assert_eq!(verdict(command), Verdict::Allow, "{command:#x}");
                }
            }
        }
    }

    #[test]
    fn a_call_is_refused_to_those_alone_who_could_use_it() {
        let needed = REFUSED.iter().filter_map(|call| call.capability);
        let needed = needed.collect::<Vec<_>>();
        for with in 0..1 << needed.len() {
            let given = (0..)
                .zip(&needed)
                .filter(|(index, _)| with >> index & 1 == 1);
            let given = given.map(|(_, capability)| *capability);
            let given = given.collect::<CapabilitySet>();
            let program = [filter(given).into_iter().map(Into::into).collect()];
            for (place, arch) in ARCHITECTURES.into_iter().enumerate() {
                for number in 0..600 {
                    let refused = REFUSED.iter().any(|call| {
                        call.numbers[place].contains(&number)
                            && call.second.is_none()
                            && call.capability.is_none_or(|one| given.contains(one))
                    });
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
}
