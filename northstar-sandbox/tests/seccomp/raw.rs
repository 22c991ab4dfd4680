//! Single system calls, made by a program of a few instructions.

use super::*;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

const SIGSYS: i32 = 31;

/// How to enter the kernel.
#[derive(Debug, Clone, Copy)]
enum Entry {
    Syscall,
    Int80,
}

/// A static program that makes one call and exits with its errno, or 0.
fn program(entry: Entry, number: u32, args: [u64; 3]) -> Vec<u8> {
    let mut code = vec![0xb8];
    code.extend(number.to_le_bytes()); // mov eax, number
    for (opcode, value) in [
        ([0x48, 0xbf], args[0]),
        ([0x48, 0xbe], args[1]),
        ([0x48, 0xba], args[2]),
    ] {
        code.extend(opcode); // movabs rdi / rsi / rdx, value
        code.extend(value.to_le_bytes());
    }
    code.extend([0x4d, 0x31, 0xd2]); // xor r10, r10
    code.extend(match entry {
        Entry::Syscall => [0x0f, 0x05],
        Entry::Int80 => [0xcd, 0x80],
    });
    code.extend([0x31, 0xff]); // xor edi, edi
    code.extend([0x85, 0xc0]); // test eax, eax
    code.extend([0x79, 0x04]); // jns to the exit
    code.extend([0x89, 0xc7, 0xf7, 0xdf]); // mov edi, eax; neg edi
    code.extend([0xb8, 231, 0, 0, 0, 0x0f, 0x05]); // exit_group(edi)

    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let size = HEADERS + code.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend([2, 0, 62, 0, 1, 0, 0, 0]); // executable, x86_64
    for word in [BASE + HEADERS, 64, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    file.extend([1, 0, 0, 0, 5, 0, 0, 0]); // load, readable and executable
    for word in [0, BASE, BASE, size, size, 0x1000] {
        file.extend(u64::to_le_bytes(word));
    }
    file.extend(code);
    file
}

/// Writes the program through another process: one that this process has
/// open for writing while another test forks could not be executed.
fn write(path: &Path, content: &[u8]) {
    let mut shell = Command::new("/bin/sh")
        .args(["-c", "cat >\"$0\" && chmod 755 \"$0\""])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    shell.stdin.take().unwrap().write_all(content).unwrap();
    assert!(shell.wait().unwrap().success());
}

struct Probe(tempfile::TempDir);

impl Probe {
    fn new() -> Probe {
        Probe(tempfile::tempdir().unwrap())
    }

    fn path(&self, entry: Entry, number: u32, args: [u64; 3]) -> PathBuf {
        let path = self.0.path().join("call");
        write(&path, &program(entry, number, args));
        path
    }

    fn confined(&self, entry: Entry, number: u32, args: [u64; 3]) -> ExitStatus {
        let path = self.path(entry, number, args);
        confined(compiled(&spec([])), move || {
            Command::new(path).status().unwrap()
        })
    }

    fn free(&self, entry: Entry, number: u32, args: [u64; 3]) -> ExitStatus {
        Command::new(self.path(entry, number, args))
            .status()
            .unwrap()
    }
}

#[test]
fn calls_answer_as_documented() {
    let (ok, eperm, ebadf, enosys) = (
        0,
        Errno::EPERM as i32,
        Errno::EBADF as i32,
        Errno::ENOSYS as i32,
    );
    let no_file = u64::MAX;
    let probe = Probe::new();
    for (what, number, args, expected) in [
        ("getpid", 39, [0; 3], ok),
        ("ioctl of another kind", 16, [no_file, 0x5401, 0], ebadf),
        ("ioctl(TIOCSTI)", 16, [no_file, 0x5412, 0], eperm),
        (
            "ioctl(TIOCSTI) with a bit above 31",
            16,
            [no_file, 0x5412 | 1 << 32, 0],
            eperm,
        ),
        ("ioctl(TIOCLINUX)", 16, [no_file, 0x541c, 0], eperm),
        (
            "ioctl(TIOCLINUX) with a bit above 31",
            16,
            [no_file, 0x541c | 1 << 63, 0],
            eperm,
        ),
        ("ptrace", 101, [0; 3], eperm),
        ("socket(AF_NETLINK, NETLINK_ROUTE)", 41, [16, 3, 0], ok),
        ("socket(AF_NETLINK, NETLINK_AUDIT)", 41, [16, 3, 9], eperm),
        (
            "socket(AF_NETLINK, NETLINK_CRYPTO) with a bit above 31",
            41,
            [16, 3, 21 | 1 << 32],
            eperm,
        ),
        ("unshare of nothing", 272, [0; 3], eperm),
        ("vmsplice", 278, [no_file, 0, 0], eperm),
        ("cachestat", 451, [no_file, 0, 0], eperm),
        (
            "personality(ADDR_NO_RANDOMIZE)",
            135,
            [0x4_0000, 0, 0],
            eperm,
        ),
        ("keyctl", 250, [0; 3], eperm),
        ("userfaultfd", 323, [0; 3], eperm),
        ("bpf", 321, [0; 3], eperm),
        ("io_uring_setup", 425, [1, 0, 0], eperm),
        ("open_tree", 428, [0; 3], eperm),
        ("fsopen", 430, [0; 3], eperm),
        ("mount_setattr", 442, [0; 3], eperm),
        ("clone3", 435, [0; 3], enosys),
        ("a number of the future", 999, [0; 3], enosys),
        ("getpid of x32", 0x4000_0000 + 39, [0; 3], enosys),
    ] {
        assert_eq!(
            probe.confined(Entry::Syscall, number, args).code(),
            Some(expected),
            "{what}"
        );
    }
    // The same calls are not answered like this without the filter.
    for (number, args, denied) in [
        (16, [no_file, 0x5412, 0], eperm),
        (435, [0; 3], enosys),
        (430, [0; 3], eperm),
    ] {
        assert_ne!(
            probe.free(Entry::Syscall, number, args).code(),
            Some(denied),
            "{number}"
        );
    }
}

#[test]
fn the_32_bit_entry_is_killed() {
    // 20 is getpid there; the kernel must offer that entry at all.
    let probe = Probe::new();
    assert_eq!(probe.free(Entry::Int80, 20, [0; 3]).code(), Some(0));
    assert_eq!(
        probe.confined(Entry::Int80, 20, [0; 3]).signal(),
        Some(SIGSYS)
    );
}
