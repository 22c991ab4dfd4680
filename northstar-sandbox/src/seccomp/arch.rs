//! Supported architectures and the numbers of their system calls.

use seccompiler::TargetArch;
use std::str::FromStr;

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
        match self {
            Arch::X86_64 => syscalls::x86_64::Sysno::from_str(name)
                .ok()
                .map(|call| i64::from(call.id())),
            Arch::Aarch64 if name == NEWFSTATAT.0 => Some(NEWFSTATAT.1),
            Arch::Aarch64 => syscalls::aarch64::Sysno::from_str(name)
                .ok()
                .map(|call| i64::from(call.id()))
                .filter(|number| *number != NEWFSTATAT.1 && !TIME64.contains(number)),
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
        let known: fn(usize) -> bool = match self {
            Arch::X86_64 => |number| syscalls::x86_64::Sysno::new(number).is_some(),
            Arch::Aarch64 => |number| syscalls::aarch64::Sysno::new(number).is_some(),
        };
        (0..=self.last())
            .filter(|number| usize::try_from(*number).is_ok_and(known))
            .filter(|number| self != Arch::Aarch64 || !TIME64.contains(number))
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
