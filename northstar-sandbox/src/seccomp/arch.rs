//! Supported architectures and the numbers of their system calls.

use seccompiler::TargetArch;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// An architecture filters can be compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arch {
    /// 64-bit x86; the i386 and x32 ABIs are rejected.
    X86_64,
    /// 64-bit ARM; the 32-bit ABI is rejected.
    Aarch64,
}

/// On arm64 the call 79 is `newfstatat`, as on x86_64; the `syscalls` crate
/// names it after the kernel's internal alias.
const NEWFSTATAT: (&str, i64) = ("newfstatat", 79);

/// Numbers the `syscalls` crate lists for arm64 that only 32-bit
/// architectures have: the calls with 64-bit time.
const TIME64: std::ops::RangeInclusive<i64> = 403..=423;

impl Arch {
    /// Every supported architecture.
    pub const ALL: [Arch; 2] = [Arch::X86_64, Arch::Aarch64];

    /// The architecture this program was built for, if it is supported.
    #[must_use]
    pub const fn native() -> Option<Arch> {
        if cfg!(target_arch = "x86_64") {
            Some(Arch::X86_64)
        } else if cfg!(target_arch = "aarch64") {
            Some(Arch::Aarch64)
        } else {
            None
        }
    }

    /// The number of a system call on this architecture.
    #[must_use]
    pub fn number(self, name: &str) -> Option<i64> {
        self.names().get(name).copied()
    }

    /// All calls by name. Made once, as the crate compares names one by one.
    fn names(self) -> &'static BTreeMap<&'static str, i64> {
        static X86_64: OnceLock<BTreeMap<&'static str, i64>> = OnceLock::new();
        static AARCH64: OnceLock<BTreeMap<&'static str, i64>> = OnceLock::new();
        let table = match self {
            Arch::X86_64 => &X86_64,
            Arch::Aarch64 => &AARCH64,
        };
        table.get_or_init(|| {
            self.numbers()
                .into_iter()
                .filter_map(|number| Some((self.name(number)?, number)))
                .collect()
        })
    }

    /// The name of a call, if the number is one.
    pub(super) fn name(self, number: i64) -> Option<&'static str> {
        let index = usize::try_from(number).ok()?;
        match self {
            Arch::X86_64 => syscalls::x86_64::Sysno::new(index).map(|call| call.name()),
            Arch::Aarch64 if number == NEWFSTATAT.1 => Some(NEWFSTATAT.0),
            Arch::Aarch64 if TIME64.contains(&number) => None,
            Arch::Aarch64 => syscalls::aarch64::Sysno::new(index).map(|call| call.name()),
        }
    }

    /// Whether any supported architecture has a call of this name.
    #[must_use]
    pub fn any_knows(name: &str) -> bool {
        Arch::ALL.iter().any(|arch| arch.number(name).is_some())
    }

    /// Every number this architecture gives to a system call, in order.
    pub(super) fn numbers(self) -> Vec<i64> {
        // Not Sysno::iter(), which leaves out the last call.
        (0..=self.last())
            .filter(|number| self.name(*number).is_some())
            .collect()
    }

    fn last(self) -> i64 {
        match self {
            Arch::X86_64 => i64::from(syscalls::x86_64::Sysno::last().id()),
            Arch::Aarch64 => i64::from(syscalls::aarch64::Sysno::last().id()),
        }
    }

    pub(super) const fn target(self) -> TargetArch {
        match self {
            Arch::X86_64 => TargetArch::x86_64,
            Arch::Aarch64 => TargetArch::aarch64,
        }
    }
}
