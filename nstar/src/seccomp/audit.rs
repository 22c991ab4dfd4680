//! Records of the kernel's audit subsystem about seccomp, type 1326 (`AUDIT_SECCOMP` in
//! `linux/audit.h`), as the kernel log, the journal, auditd and `ausearch` have them.

use super::{Arch, LineError, table};

/// `AUDIT_ARCH_*` of `linux/audit.h`.
const X86_64: u64 = 0xc000_003e;
const AARCH64: u64 = 0xc000_00b7;

/// `__X32_SYSCALL_BIT` of `asm/unistd.h`: a call of the x32 ABI under the architecture x86_64.
const X32: u64 = 0x4000_0000;

/// Whether a line is a record about seccomp.
pub fn is_record(line: &str) -> bool {
    line.split_whitespace()
        .any(|word| word == "type=1326" || word == "type=SECCOMP")
}

/// The system call that a record is about.
pub fn read(line: &str) -> Result<&'static str, LineError> {
    let arch = field(line, "arch")?;
    let call = field(line, "syscall")?;
    let foreign = |abi: &str| LineError::ForeignAbi {
        abi: abi.to_owned(),
    };
    let arch = match (arch, u64::from_str_radix(arch, 16)) {
        ("x86_64", _) | (_, Ok(X86_64)) => Arch::X86_64,
        ("aarch64", _) | (_, Ok(AARCH64)) => Arch::Aarch64,
        (name, _) => return Err(foreign(&format!("the architecture {name}"))),
    };
    // `compat` is 1 for a call through the 32-bit entry of a 64-bit kernel.
    if field(line, "compat") == Ok("1") {
        return Err(foreign("the 32-bit ABI"));
    }
    // `ausearch -i` has names.
    let Ok(number) = call.parse::<u64>() else {
        return table::known(call).ok_or_else(|| LineError::Malformed {
            key: "syscall",
            value: call.to_owned(),
        });
    };
    if arch == Arch::X86_64 && number & X32 != 0 {
        return Err(foreign("the x32 ABI"));
    }
    arch.name(number)
        .ok_or(LineError::UnknownNumber { number, arch })
}

fn field<'a>(line: &'a str, key: &'static str) -> Result<&'a str, LineError> {
    line.split_whitespace()
        .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
        .ok_or(LineError::Incomplete { key })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNEL: &str = "audit: type=1326 audit(1700000000.123:42): auid=4294967295 uid=1000 gid=1000 ses=4294967295 subj=unconfined pid=77 comm=\"app\" exe=\"/app\" sig=0";

    #[test]
    fn records_of_both_architectures_in_every_form() {
        let cases = [
            (format!("{KERNEL} arch=c000003e syscall=41 compat=0 ip=0x7f code=0x7ffc0000"), "socket"),
            (format!("Nov 22 02:00:00 host kernel: {KERNEL} arch=c00000b7 syscall=198 compat=0 ip=0x7f code=0x7ffc0000"), "socket"),
            ("[  12.3] audit: type=1326 audit(1.1:1): arch=c00000b7 syscall=79 compat=0".to_owned(), "newfstatat"),
            ("type=SECCOMP msg=audit(1700000000.123:42): pid=1 arch=c000003e syscall=59 compat=0 code=0x0 ARCH=x86_64 SYSCALL=execve".to_owned(), "execve"),
            ("type=SECCOMP msg=audit(22.11.2026 02:00:00.123:42) : pid=1 arch=aarch64 syscall=openat compat=0".to_owned(), "openat"),
        ];
        for (line, name) in cases {
            assert!(is_record(&line), "{line}");
            assert_eq!(read(&line), Ok(name), "{line}");
        }
        assert!(!is_record(
            "type=1300 audit(1.1:1): arch=c000003e syscall=41"
        ));
        assert!(!is_record("write(1, \"type=1326\", 9) = 9"));
    }

    #[test]
    fn foreign_and_broken_records_are_refused() {
        let read = |rest: &str| read(&format!("{KERNEL} {rest}"));
        for rest in [
            "arch=40000003 syscall=102 compat=1",
            "arch=40000028 syscall=281 compat=0",
            "arch=c000003e syscall=41 compat=1",
            "arch=c000003e syscall=1073741865 compat=0",
            "arch=i386 syscall=socket compat=0",
        ] {
            let result = read(rest);
            assert!(
                matches!(result, Err(LineError::ForeignAbi { .. })),
                "{rest}: {result:?}"
            );
        }
        assert_eq!(
            read("syscall=41"),
            Err(LineError::Incomplete { key: "arch" })
        );
        assert_eq!(
            read("arch=c000003e"),
            Err(LineError::Incomplete { key: "syscall" })
        );
        let unknown = read("arch=c000003e syscall=9999 compat=0");
        assert!(matches!(
            unknown,
            Err(LineError::UnknownNumber { number: 9999, .. })
        ));
        let malformed = read("arch=c000003e syscall=dance compat=0");
        assert!(matches!(malformed, Err(LineError::Malformed { .. })));
    }
}
