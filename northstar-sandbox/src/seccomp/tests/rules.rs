//! Rules of a manifest: arguments, merging, limits, splitting.

use super::*;
use crate::seccomp::{AFTER_FILTER, SeccompError};
use interpreter::{ENOSYS, EPERM};
use proptest::prelude::*;

#[test]
fn a_list_without_profile_is_the_whole_list() {
    for arch in Arch::ALL {
        let programs = compile(&only([("getpid", Rule::Any)]), arch).unwrap();
        let mut allowed: Vec<i64> = (0..1100)
            .filter(|number| answer(&programs, arch, *number, [0; 6]) == Verdict::Allow)
            .collect();
        let mut expected: Vec<i64> = AFTER_FILTER
            .iter()
            .chain(&["getpid"])
            .filter_map(|call| arch.number(call))
            .collect();
        allowed.sort_unstable();
        expected.sort_unstable();
        assert_eq!(allowed, expected);
        assert_eq!(answer_to(&programs, arch, "openat", [0; 6]), EPERM);
        assert_eq!(answer_to(&programs, arch, "clone3", [0; 6]), ENOSYS);
    }
}

#[test]
fn capabilities_add_nothing_without_the_profile() {
    let mut spec = only([("getpid", Rule::Any)]);
    let without = compile(&spec, Arch::X86_64).unwrap();
    spec.capabilities = vec![Capability::CAP_SYS_ADMIN, Capability::CAP_NET_RAW];
    assert_eq!(compile(&spec, Arch::X86_64).unwrap(), without);
}

#[test]
fn an_allowed_clone3_is_allowed() {
    let programs = compile(&only([("clone3", Rule::Any)]), Arch::X86_64).unwrap();
    assert_eq!(
        answer_to(&programs, Arch::X86_64, "clone3", [0; 6]),
        Verdict::Allow
    );
}

#[test]
fn values_compare_all_64_bits() {
    let programs = compile(
        &only([("ioctl", args(1, &[5, 1 << 32, u64::MAX], None))]),
        Arch::X86_64,
    )
    .unwrap();
    for (value, expected) in [
        (5, Verdict::Allow),
        (5 | 1 << 32, EPERM),
        (5 | 1 << 63, EPERM),
        (1 << 32, Verdict::Allow),
        (0, EPERM),
        (u64::MAX, Verdict::Allow),
        (u64::MAX >> 32, EPERM),
    ] {
        assert_eq!(
            answer_to(&programs, Arch::X86_64, "ioctl", [5, value, 5, 5, 5, 5]),
            expected,
            "{value:#x}"
        );
    }
}

#[test]
fn a_mask_bounds_the_bits() {
    let programs = compile(&only([("openat", args(2, &[], Some(0x3)))]), Arch::Aarch64).unwrap();
    for (value, expected) in [
        (0, Verdict::Allow),
        (3, Verdict::Allow),
        (4, EPERM),
        (7, EPERM),
        (3 | 1 << 32, EPERM),
        (u64::MAX, EPERM),
    ] {
        assert_eq!(
            answer_to(&programs, Arch::Aarch64, "openat", [0, 0, value, 0, 0, 0]),
            expected,
            "{value:#x}"
        );
    }
}

#[test]
fn masks_at_the_ends() {
    let nothing = compile(&only([("read", args(0, &[], Some(0)))]), Arch::X86_64).unwrap();
    let everything = compile(
        &only([("read", args(0, &[], Some(u64::MAX)))]),
        Arch::X86_64,
    )
    .unwrap();
    for value in [0, 1, 1 << 32, u64::MAX] {
        let args = [value, 0, 0, 0, 0, 0];
        let expected = if value == 0 { Verdict::Allow } else { EPERM };
        assert_eq!(answer_to(&nothing, Arch::X86_64, "read", args), expected);
        assert_eq!(
            answer_to(&everything, Arch::X86_64, "read", args),
            Verdict::Allow
        );
    }
}

#[test]
fn a_rule_adds_to_the_profile() {
    let mut spec = default_profile(&[]);
    spec.allow.insert("socket".to_owned(), args(0, &[38], None));
    spec.allow.insert("ptrace".to_owned(), Rule::Any);
    let programs = compile(&spec, Arch::X86_64).unwrap();
    for (family, expected) in [
        (1, Verdict::Allow),
        (16, Verdict::Allow),
        (38, Verdict::Allow),
        (38 | 1 << 32, EPERM),
        (40, EPERM),
    ] {
        assert_eq!(
            answer_to(&programs, Arch::X86_64, "socket", [family, 0, 0, 0, 0, 0]),
            expected
        );
    }
    assert_eq!(
        answer_to(&programs, Arch::X86_64, "ptrace", [0; 6]),
        Verdict::Allow
    );
}

#[test]
fn any_wins() {
    let mut spec = default_profile(&[Capability::CAP_NET_RAW]);
    spec.allow.insert("socket".to_owned(), Rule::Any);
    // The profile allows read with any arguments; a narrower rule changes nothing.
    spec.allow.insert("read".to_owned(), args(0, &[0], None));
    let programs = compile(&spec, Arch::X86_64).unwrap();
    assert_eq!(
        answer_to(&programs, Arch::X86_64, "socket", [40, 0, 0, 0, 0, 0]),
        Verdict::Allow
    );
    assert_eq!(
        answer_to(&programs, Arch::X86_64, "read", [7, 0, 0, 0, 0, 0]),
        Verdict::Allow
    );
}

#[test]
fn a_name_of_the_other_architecture_is_skipped() {
    let spec = only([("open", Rule::Any), ("arch_prctl", args(0, &[1], None))]);
    assert_eq!(
        compile(&spec, Arch::Aarch64).unwrap(),
        compile(&only([]), Arch::Aarch64).unwrap()
    );
    let programs = compile(&spec, Arch::X86_64).unwrap();
    assert_eq!(
        answer_to(&programs, Arch::X86_64, "open", [0; 6]),
        Verdict::Allow
    );
}

#[test]
fn unknown_names_are_refused() {
    for name in [
        "no_such_call",
        "",
        "READ",
        "read ",
        "socketcall",
        "clock_gettime64",
    ] {
        for arch in Arch::ALL {
            let mut spec = only([]);
            spec.allow.insert(name.to_owned(), Rule::Any);
            match compile(&spec, arch) {
                Err(SeccompError::UnknownCall { call }) => assert_eq!(call, name),
                other => panic!("{name:?}: {other:?}"),
            }
        }
    }
}

#[test]
fn rules_outside_the_limits_are_refused() {
    let compiled = |rule| compile(&only([("read", rule)]), Arch::X86_64);
    assert!(matches!(
        compiled(args(6, &[1], None)),
        Err(SeccompError::ArgumentIndex { index: 6, .. })
    ));
    assert!(matches!(
        compiled(args(0, &[], None)),
        Err(SeccompError::NoCondition { .. })
    ));
    assert!(matches!(
        compiled(args(0, &[1; 51], None)),
        Err(SeccompError::TooManyValues { count: 51, .. })
    ));
    let values: Vec<u64> = (0..50).collect();
    let programs = compiled(args(5, &values, None)).unwrap();
    assert_eq!(
        answer_to(&programs, Arch::X86_64, "read", [0, 0, 0, 0, 0, 49]),
        Verdict::Allow
    );
    assert_eq!(
        answer_to(&programs, Arch::X86_64, "read", [0, 0, 0, 0, 0, 50]),
        EPERM
    );
}

/// Names of `count` calls of x86_64.
fn names(count: usize) -> Vec<&'static str> {
    (0..1100)
        .filter_map(syscalls::x86_64::Sysno::new)
        .map(|call| call.name())
        .take(count)
        .collect()
}

#[test]
fn conditions_that_do_not_fit_into_one_program_are_split() {
    let values: Vec<u64> = (100..150).collect();
    let spec = only(
        names(60)
            .into_iter()
            .map(|name| (name, args(1, &values, None))),
    );
    let programs = compile(&spec, Arch::X86_64).unwrap();
    assert!(programs.len() > 1);
    for number in 0..1100 {
        for (value, fits) in [
            (99, false),
            (100, true),
            (149, true),
            (150, false),
            (149 | 1 << 32, false),
        ] {
            let always = AFTER_FILTER
                .iter()
                .any(|call| Arch::X86_64.number(call) == Some(number));
            let expected = match number {
                _ if always => Verdict::Allow,
                0..60 if fits => Verdict::Allow,
                435 | 337..424 | 470.. => ENOSYS,
                _ => EPERM,
            };
            let args = [0, value, 0, 0, 0, 0];
            assert_eq!(
                answer(&programs, Arch::X86_64, number, args),
                expected,
                "{number} {value:#x}"
            );
        }
    }
}

#[test]
fn only_the_last_program_restricts_installing() {
    let values: Vec<u64> = (100..150).collect();
    for with in [true, false] {
        let mut calls: Vec<_> = names(60)
            .into_iter()
            .map(|name| (name, args(1, &values, None)))
            .collect();
        if with {
            calls.push(("seccomp", args(0, &[1], None)));
            calls.push(("prctl", args(0, &[22], None)));
        }
        let programs = compile(&only(calls), Arch::X86_64).unwrap();
        let (last, first) = programs.split_last().unwrap();
        assert!(!first.is_empty());
        for (call, value) in [("seccomp", 1), ("prctl", 22)] {
            let other = [99; 6];
            assert_eq!(answer_to(first, Arch::X86_64, call, other), Verdict::Allow);
            assert_eq!(
                answer_to(std::slice::from_ref(last), Arch::X86_64, call, other),
                EPERM
            );
            let expected = if with { Verdict::Allow } else { EPERM };
            assert_eq!(
                answer_to(&programs, Arch::X86_64, call, [value, 0, 0, 0, 0, 0]),
                expected
            );
        }
    }
}

#[test]
fn a_list_over_the_kernels_limit_is_refused() {
    let values: Vec<u64> = (100..150).collect();
    let spec = only(
        names(330)
            .into_iter()
            .map(|name| (name, args(1, &values, None))),
    );
    match compile(&spec, Arch::X86_64) {
        Err(SeccompError::TooLarge {
            instructions,
            limit: 32_768,
        }) => assert!(instructions > 32_768),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_profile_fits_into_one_program() {
    for arch in Arch::ALL {
        let everything: Vec<Capability> = caps::all().into_iter().collect();
        assert_eq!(
            compile(&default_profile(&everything), arch).unwrap().len(),
            1
        );
    }
}

fn rule() -> impl Strategy<Value = Rule> {
    let value = prop_oneof![any::<u64>(), 0..8u64, Just(1 << 32), Just(u64::MAX)];
    prop_oneof![
        1 => Just(Rule::Any),
        4 => (0..6u8, prop::collection::vec(value.clone(), 0..50), prop::option::of(value)).prop_map(
            |(index, values, mask)| {
                let mask = if values.is_empty() { mask.or(Some(7)) } else { mask };
                Rule::Args { index, values, mask }
            }
        ),
    ]
}

/// What a rule says about arguments, straight from its definition.
fn fits(rule: &Rule, args: &[u64; 6]) -> bool {
    match rule {
        Rule::Any => true,
        Rule::Args {
            index,
            values,
            mask,
        } => {
            let argument = args[usize::from(*index)];
            values.contains(&argument) || mask.is_some_and(|mask| argument & !mask == 0)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_list_is_compiled_exactly(
        rules in prop::collection::btree_map(0..330usize, rule(), 0..20),
        extra in prop::collection::vec(any::<u64>(), 6),
    ) {
        let name = |number: usize| syscalls::x86_64::Sysno::new(number).unwrap().name();
        let allow = rules.iter().map(|(number, rule)| (name(*number).to_owned(), rule.clone())).collect();
        let spec = SeccompSpec { profile: None, allow, capabilities: Vec::new() };
        let programs = compile(&spec, Arch::X86_64).unwrap();
        for (number, rule) in &rules {
            let mut tried: Vec<[u64; 6]> = vec![[0; 6], [1; 6], [7; 6], [u64::MAX; 6], extra.clone().try_into().unwrap()];
            if let Rule::Args { values, mask, .. } = rule {
                tried.extend(values.iter().chain(mask).flat_map(|value| {
                    [[*value; 6], [value.wrapping_add(1); 6], [value ^ 1 << 32; 6], [!value; 6]]
                }));
            }
            let always = AFTER_FILTER.contains(&name(*number));
            for args in tried {
                let expected = if always || fits(rule, &args) { Verdict::Allow } else { EPERM };
                prop_assert_eq!(answer(&programs, Arch::X86_64, *number as i64, args), expected);
            }
        }
        for number in (0..1100).filter(|number| !rules.contains_key(number)) {
            let always = AFTER_FILTER.iter().any(|call| Arch::X86_64.number(call) == Some(number as i64));
            prop_assert_eq!(answer(&programs, Arch::X86_64, number as i64, [0; 6]) == Verdict::Allow, always);
        }
    }
}
