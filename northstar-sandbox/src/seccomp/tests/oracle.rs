//! The whole number space, native, x32 and foreign, with arguments at their
//! boundaries.

use super::*;
use interpreter::{ENOSYS, EPERM};

/// Highest number tried; the kernels of today end below 500.
const LAST: u32 = 1100;

/// Set in the number of every call of the x32 ABI.
const X32: u32 = 0x4000_0000;

/// Values around everything a rule compares with.
fn boundaries() -> Vec<u64> {
    let mut values = vec![u64::MAX, u64::MAX << 32, 1 << 63];
    let interesting: &[u64] = &[
        0,
        1,
        2,
        3,
        8,
        10,
        12,
        16,
        17,
        38,
        40,
        0x80,
        0x5412,
        0x541c,
        0x1000,
        0x2000,
        0x4000,
        0x6000,
        0x8000,
        0xa000,
        0xc000,
        0x81ff,
        0x21ff,
        0x61ff,
        0x2_0000,
        0x2_0008,
        0x0200_0000,
        0x0400_0000,
        0x0800_0000,
        0x1000_0000,
        0x2000_0000,
        0x4000_0000,
        0x7e02_0000,
        0x003d_0f00,
        0x0100_4111,
        0xffff_ffff,
    ];
    for value in interesting {
        values.extend([
            *value,
            value.wrapping_sub(1),
            value.wrapping_add(1),
            value | 1 << 32,
            value | 1 << 63,
        ]);
    }
    values.sort_unstable();
    values.dedup();
    values
}

/// What the profile `default` has to answer to a call whose answer depends on
/// its arguments.
fn conditional(call: &str, args: &[u64; 6]) -> Option<bool> {
    let low = |index: usize| args[index] as u32;
    let device = |mode: u32| matches!(mode & 0xf000, 0x2000 | 0x6000);
    let plain = |mode: u32| matches!(mode & 0xf000, 0 | 0x1000 | 0x8000 | 0xc000) && !device(mode);
    Some(match call {
        "socket" => match low(0) {
            16 => [0, 4, 15, 16].contains(&low(2)),
            family => [1, 2, 10].contains(&family),
        },
        "socketpair" => low(0) == 1,
        "ioctl" => ![0x5412, 0x541c].contains(&low(1)),
        "clone" => low(0) & 0x7e02_0000 == 0,
        "mknod" => plain(low(1)),
        "mknodat" => plain(low(2)),
        "personality" => [0, 8, 0x2_0000, 0x2_0008, u32::MAX].contains(&low(0)),
        _ => return None,
    })
}

#[test]
fn calls_with_conditions_follow_their_arguments() {
    for arch in Arch::ALL {
        let programs = compile(&default_profile(&[]), arch).unwrap();
        for call in [
            "socket",
            "socketpair",
            "ioctl",
            "clone",
            "mknod",
            "mknodat",
            "personality",
        ] {
            let Some(number) = arch.number(call) else {
                continue;
            };
            for index in 0..6 {
                for value in boundaries() {
                    for rest in [0, 1, 9, 16, u64::MAX, 0x5412_0000_5412] {
                        let mut args = [rest; 6];
                        args[index] = value;
                        let expected = match conditional(call, &args) {
                            Some(true) => Verdict::Allow,
                            _ => EPERM,
                        };
                        assert_eq!(
                            answer(&programs, arch, number, args),
                            expected,
                            "{call} {args:#x?} {arch:?}"
                        );
                    }
                }
            }
        }
    }
}

/// Whether the kernel headers have a call of this number: every number up to
/// a last old one without gaps, then the common ones from 424 on.
fn exists(arch: Arch, number: u32) -> bool {
    match arch {
        Arch::X86_64 => number <= 336 || (424..=469).contains(&number),
        Arch::Aarch64 => {
            number <= 243
                || (260..=294).contains(&number) && number != 244
                || (424..=469).contains(&number)
        }
    }
}

#[test]
fn other_calls_do_not_depend_on_arguments() {
    let by_argument = [
        "socket",
        "socketpair",
        "ioctl",
        "clone",
        "mknod",
        "mknodat",
        "personality",
    ];
    for arch in Arch::ALL {
        let programs = compile(&default_profile(&[]), arch).unwrap();
        let excluded: Vec<i64> = by_argument
            .iter()
            .filter_map(|call| arch.number(call))
            .collect();
        for number in (0..=LAST).filter(|number| !excluded.contains(&i64::from(*number))) {
            let first = answer(&programs, arch, i64::from(number), [0; 6]);
            for fill in [1, 2, 16, 38, 0x5412, 0x7e02_0000, 1 << 32, u64::MAX] {
                assert_eq!(
                    answer(&programs, arch, i64::from(number), [fill; 6]),
                    first,
                    "{number} on {arch:?}"
                );
            }
            if !exists(arch, number) {
                assert_eq!(first, ENOSYS, "{number} on {arch:?}");
            } else if number != 435 {
                assert!(
                    [Verdict::Allow, EPERM].contains(&first),
                    "{number} on {arch:?}: {first:?}"
                );
            }
        }
    }
}

#[test]
fn x32_and_other_large_numbers_are_unknown() {
    for arch in Arch::ALL {
        let programs = compile(
            &default_profile(&caps::all().into_iter().collect::<Vec<_>>()),
            arch,
        )
        .unwrap();
        for number in 0..=LAST {
            for offset in [X32, 0x8000_0000, u32::MAX - LAST] {
                for fill in [0, 1, u64::MAX] {
                    let number = i64::from(number + offset);
                    assert_eq!(
                        answer(&programs, arch, number, [fill; 6]),
                        ENOSYS,
                        "{number:#x} on {arch:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn foreign_architectures_are_killed() {
    const I386: u32 = 0x4000_0003;
    const ARM: u32 = 0x4000_0028;
    const AARCH64_BIG_ENDIAN: u32 = 0x8000_00b7;
    let specs = [default_profile(&[]), only([("read", Rule::Any)])];
    for (arch, spec) in Arch::ALL
        .into_iter()
        .flat_map(|arch| specs.iter().map(move |spec| (arch, spec)))
    {
        let programs = compile(spec, arch).unwrap();
        let foreign = Arch::ALL
            .into_iter()
            .filter(|other| *other != arch)
            .map(interpreter::audit);
        for audit in foreign.chain([I386, ARM, AARCH64_BIG_ENDIAN, 0, u32::MAX]) {
            for number in (0..=LAST).chain(X32..=X32 + LAST) {
                let call = Call {
                    number,
                    arch: audit,
                    args: [0; 6],
                };
                assert_eq!(
                    interpreter::run(&programs, &call),
                    Verdict::KillProcess,
                    "{call:?}"
                );
            }
        }
    }
}
