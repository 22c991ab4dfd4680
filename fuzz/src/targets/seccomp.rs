//! The compiler of system call filters. What comes out is run, as the kernel would, and compared
//! with what the rules say.
//!
//! The input is a recipe: whether there is a profile, then rules (a call, and what it is allowed for),
//! then calls to try.

use std::collections::BTreeMap;

use northstar_sandbox::seccomp::{AFTER_FILTER, Arch, Profile, Rule, SeccompSpec, compile};

use super::{Target, leave};
use crate::interpreter::{self, Call, Verdict};
use crate::memory;
use crate::recipe::Recipe;

/// The compiler of system call filters.
pub static TARGET: Target = Target {
    name: "seccomp",
    run,
    repair: leave,
    seeds,
    words: &[
        b"\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\0\0\0\0\x01\0\0\0",
        b"\x01\0\0\0\0\0\0\0",
    ],
    limit: 1024,
};

/// Calls that are on no list, on the profile's for any arguments, and on it for some; one that is no call.
const CALLS: &[&str] = &[
    "read",
    "openat",
    "socket",
    "ioctl",
    "clone",
    "clone3",
    "mount",
    "ptrace",
    "personality",
    "kexec_load",
    "prctl",
    "seccomp",
    "write",
    "open",
    "bpf",
    "no_such_call",
];

/// Most memory in bytes that a list takes while it is compiled.
const LIMIT: usize = 16 * 1024 * 1024;

fn run(input: &[u8]) {
    let mut recipe = Recipe::new(input);
    let profile = (recipe.byte() & 1 == 1).then_some(Profile::Default);
    let mut allow = BTreeMap::new();
    for _ in 0..recipe.byte() % 8 {
        let call = CALLS[usize::from(recipe.byte()) % CALLS.len()];
        allow.insert(call.to_owned(), rule(&mut recipe));
    }
    let spec = SeccompSpec {
        profile,
        allow,
        capabilities: Vec::new(),
    };
    for arch in Arch::ALL {
        let compiled = memory::bounded(LIMIT, || compile(&spec, arch));
        assert_eq!(compiled.is_ok(), is_valid(&spec), "{spec:?}: {compiled:?}");
        let Ok(programs) = compiled else {
            return;
        };
        let mut recipe = recipe;
        loop {
            let name = CALLS[usize::from(recipe.byte()) % CALLS.len()];
            let mut args = [0; 6];
            args.fill_with(|| recipe.long());
            if let Some(number) = arch.number(name) {
                let call = Call {
                    number: number as u32,
                    arch: interpreter::audit(arch),
                    args,
                };
                let verdict = interpreter::run(&programs, &call);
                judge(&spec, name, args, verdict);
            }
            if recipe.is_empty() {
                break;
            }
        }
    }
}

fn rule(recipe: &mut Recipe<'_>) -> Rule {
    let kind = recipe.byte();
    if kind & 1 == 0 {
        return Rule::Any;
    }
    let index = kind >> 1 & 7;
    // Up to two more than a rule may have.
    let count = match recipe.byte() % 64 {
        53.. => 0,
        count => count,
    };
    Rule::Args {
        index,
        values: (0..count).map(|_| recipe.long()).collect(),
        mask: (kind & 0x10 != 0).then(|| recipe.long()),
    }
}

fn is_valid(spec: &SeccompSpec) -> bool {
    spec.allow.iter().all(|(call, rule)| {
        let is_rule = match rule {
            Rule::Any => true,
            Rule::Args {
                index,
                values,
                mask,
            } => *index <= 5 && values.len() <= 50 && (!values.is_empty() || mask.is_some()),
        };
        call != "no_such_call" && is_rule
    })
}

/// Compares the answer to a call with what the list says.
fn judge(spec: &SeccompSpec, name: &str, args: [u64; 6], verdict: Verdict) {
    let listed = spec.allow.get(name).map(|rule| match rule {
        Rule::Any => true,
        Rule::Args {
            index,
            values,
            mask,
        } => {
            let argument = args[usize::from(*index)];
            values.contains(&argument) || mask.is_some_and(|mask| argument & !mask == 0)
        }
    });
    let always = AFTER_FILTER.contains(&name);
    if always || listed == Some(true) {
        assert_eq!(verdict, Verdict::Allow, "{name} {args:x?} {spec:?}");
        return;
    }
    if spec.profile.is_some() {
        // The profile's own answers are the business of the sandbox's tests; but it never kills.
        assert_ne!(verdict, Verdict::KillProcess, "{name}");
        return;
    }
    let denied = match (name, listed) {
        ("clone3", _) => interpreter::ENOSYS,
        _ => interpreter::EPERM,
    };
    assert_eq!(verdict, denied, "{name} {args:x?} {spec:?}");
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for profile in [0, 1] {
        for kind in [0, 1, 3, 0x11, 0x1b, 0x0d] {
            let mut seed = vec![profile, 3];
            for call in [2, 3, 4] {
                seed.extend([call, kind, 2]);
                seed.extend(5_u64.to_le_bytes());
                seed.extend((7_u64 << 32).to_le_bytes());
                seed.extend(0xff_u64.to_le_bytes());
            }
            seed.extend([2, 5, 0, 0, 0, 0, 0, 0, 0]);
            seeds.push(seed);
        }
    }
    seeds
}
