//! Names and numbers of system calls.

use std::{collections::BTreeMap, fmt, sync::OnceLock};

use clap::ValueEnum;

/// An architecture that containers run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Arch {
    /// 64-bit x86.
    #[value(name = "x86_64")]
    X86_64,
    /// 64-bit ARM.
    Aarch64,
}

/// `fstatat` of the kernel's table for arm64 is what everybody calls `newfstatat`.
const NEWFSTATAT: u64 = 79;

/// Numbers that the crate lists for arm64 and only 32-bit architectures have: 64-bit time.
const TIME64: std::ops::RangeInclusive<u64> = 403..=423;

impl Arch {
    const ALL: [Arch; 2] = [Arch::X86_64, Arch::Aarch64];

    /// The one that nstar runs on; x86_64 if that is none of them.
    pub fn native() -> Arch {
        if cfg!(target_arch = "aarch64") {
            Arch::Aarch64
        } else {
            Arch::X86_64
        }
    }

    /// The name of a system call.
    pub fn name(self, number: u64) -> Option<&'static str> {
        let index = usize::try_from(number).ok()?;
        match self {
            Arch::X86_64 => syscalls::x86_64::Sysno::new(index).map(|call| call.name()),
            Arch::Aarch64 if number == NEWFSTATAT => Some("newfstatat"),
            Arch::Aarch64 if TIME64.contains(&number) => None,
            Arch::Aarch64 => syscalls::aarch64::Sysno::new(index).map(|call| call.name()),
        }
    }

    fn last(self) -> u32 {
        match self {
            Arch::X86_64 => syscalls::x86_64::Sysno::last().id().unsigned_abs(),
            Arch::Aarch64 => syscalls::aarch64::Sysno::last().id().unsigned_abs(),
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
        })
    }
}

/// The name of a system call as the table has it, if any architecture has it.
pub fn known(name: &str) -> Option<&'static str> {
    static NAMES: OnceLock<BTreeMap<&'static str, ()>> = OnceLock::new();
    let names = NAMES.get_or_init(|| {
        Arch::ALL
            .into_iter()
            .flat_map(|arch| (0..=u64::from(arch.last())).filter_map(move |n| arch.name(n)))
            .map(|name| (name, ()))
            .collect()
    });
    names.get_key_value(name).map(|(name, ())| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the runtime takes in a manifest is what can be learned.
    #[test]
    fn the_table_is_that_of_the_runtime() {
        use northstar_sandbox::seccomp::Arch as Runtime;
        for (ours, theirs) in [
            (Arch::X86_64, Runtime::X86_64),
            (Arch::Aarch64, Runtime::Aarch64),
        ] {
            let mut count = 0;
            for number in 0..=u64::from(ours.last()) {
                if let Some(name) = ours.name(number) {
                    let number = i64::try_from(number).unwrap();
                    assert_eq!(theirs.number(name), Some(number), "{ours} {name}");
                    assert_eq!(known(name), Some(name));
                    count += 1;
                }
            }
            assert!(count > 300, "{ours}: {count}");
        }
        for name in ["", "x", "reads", "READ"] {
            assert_eq!(known(name), None);
            assert!(!Runtime::any_knows(name));
        }
    }
}
