//! Compiled filters in a real kernel, each in a thread of its own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

use nix::errno::Errno;
use northstar_sandbox::seccomp::{Arch, Profile, Program, Rule, SeccompSpec, compile};
use rustix::net::{AddressFamily, SocketType, socket};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

/// The profile `default` and more.
fn spec(allow: impl IntoIterator<Item = (&'static str, Rule)>) -> SeccompSpec {
    SeccompSpec {
        profile: Some(Profile::Default),
        allow: allow
            .into_iter()
            .map(|(call, rule)| (call.to_owned(), rule))
            .collect(),
        capabilities: Vec::new(),
    }
}

fn compiled(spec: &SeccompSpec) -> Vec<Program> {
    compile(spec, Arch::native().unwrap()).unwrap()
}

/// Runs something in a thread under the programs.
fn confined<T: Send + 'static>(
    programs: Vec<Program>,
    run: impl FnOnce() -> T + Send + 'static,
) -> T {
    std::thread::spawn(move || {
        rustix::thread::set_no_new_privs(true).unwrap();
        for program in programs {
            let program: Vec<_> = program.into_iter().map(Into::into).collect();
            northstar_sys::seccomp::install(&program).unwrap();
        }
        run()
    })
    .join()
    .unwrap()
}

/// The name this machine has already, so that a broken filter changes nothing.
fn host_name() -> std::ffi::OsString {
    nix::unistd::gethostname().unwrap()
}

/// The errno of making a socket; 0 if it works.
fn errno_of_socket(family: u16) -> i32 {
    match socket(AddressFamily::from_raw(family), SocketType::DGRAM, None) {
        Ok(_) => 0,
        Err(errno) => errno.raw_os_error(),
    }
}

#[test]
fn socket_families_are_an_allow_list() {
    let errnos = confined(compiled(&spec([])), || {
        [1, 2, 10, 17, 38, 40].map(errno_of_socket)
    });
    let eperm = Errno::EPERM as i32;
    assert_eq!(errnos[0], 0);
    assert!(
        errnos[1..3].iter().all(|errno| *errno != eperm),
        "{errnos:?}"
    );
    assert_eq!(errnos[3..], [eperm; 3]);
}

#[test]
fn a_rule_of_the_manifest_opens_one_family() {
    let rule = Rule::Args {
        index: 0,
        values: vec![38],
        mask: None,
    };
    let errnos = confined(compiled(&spec([("socket", rule)])), || {
        [38, 40].map(errno_of_socket)
    });
    assert_ne!(errnos[0], Errno::EPERM as i32, "the kernel decides");
    assert_eq!(errnos[1], Errno::EPERM as i32);
}

#[test]
fn mounts_and_namespaces_are_denied() {
    let results = confined(compiled(&spec([])), || {
        let none = None::<&str>;
        [
            nix::mount::mount(
                Some("none"),
                "/",
                Some("tmpfs"),
                nix::mount::MsFlags::MS_PRIVATE,
                none,
            ),
            nix::mount::umount("/no-such-directory"),
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER),
            nix::unistd::sethostname(host_name()),
            nix::unistd::chroot("/"),
        ]
    });
    assert_eq!(results, [Err(Errno::EPERM); 5]);
}

#[test]
fn an_ordinary_program_runs() {
    let output = confined(compiled(&spec([])), || {
        std::process::Command::new("/bin/sh")
            .args([
                "-c",
                "cat /proc/self/status | grep ^Seccomp: && ls / | wc -l",
            ])
            .output()
    })
    .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .starts_with("Seccomp:\t2\n")
    );
}

/// What programs do all day, each by one that every Debian has; `$0` is a directory of its own.
const ORDINARY: &[(&str, &str)] = &[
    (
        "files",
        "cd $0; head -c 300000 /dev/urandom >a; cp a b; cmp a b; mv b c; ln c d; ln -s d e; stat -L e; rm e d
         truncate -s 10 c; touch -d yesterday c; chmod 600 c; dd if=a of=f bs=4k conv=fsync; fallocate -l 64K g
         sync -d f; mkdir -p x/y; find . -type f; df .; du -s .; rm -r x; mktemp -p .",
    ),
    (
        "pipes and jobs",
        "cd $0; mkfifo p; cat p >q & echo text >p; wait; grep -q text q; seq 1 100000 | sort -R | sort -n | tail -1
         yes | head -100000 | sha256sum; tee r <q; timeout 9 sleep 0; nice true; nohup true; setsid true; env; id; date",
    ),
    (
        "archives",
        "cd $0; echo text >a; tar czf t.tar.gz a; tar xzOf t.tar.gz | grep -q text",
    ),
    (
        "bash",
        "bash -ec 'ulimit -n 256; umask 077; trap : USR1; kill -USR1 $$; coproc cat; echo hi >&${COPROC[1]}
         read -r line <&${COPROC[0]}; test $line = hi; test -n \"$(cat <(echo x))\"'",
    ),
    (
        "perl",
        "cd $0; perl -MSocket -MFcntl=:flock -MPOSIX -e 'defined(my $pid = fork) or die; exit 3 unless $pid;
         waitpid($pid, 0); die unless $? == 3 << 8; socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, 0) or die;
         open(my $f, q(>), q(lock)) or die; flock($f, LOCK_EX) or die; alarm 60; system(q(true)) == 0 or die;
         my $t = POSIX::times(); opendir(my $d, q(.)) or die; rename(q(lock), q(l)) or die; kill(0, $$) or die'",
    ),
];

#[test]
fn ordinary_programs_do_all_they_do() {
    for (name, script) in ORDINARY {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_owned();
        let output = confined(compiled(&spec([])), move || {
            std::process::Command::new("/bin/sh")
                .arg("-ec")
                .arg(script)
                .arg(path)
                .output()
        })
        .unwrap();
        assert!(output.status.success(), "{name}: {output:?}");
    }
}

#[test]
fn standard_library_does_all_it_does() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    confined(compiled(&spec([])), move || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || listener.accept().unwrap().0.write_all(b"x"));
        let mut byte = [0];
        let mut client = TcpStream::connect(address).unwrap();
        client.set_nodelay(true).unwrap();
        client.read_exact(&mut byte).unwrap();
        server.join().unwrap().unwrap();
        UnixDatagram::bind(path.join("socket")).unwrap();
        std::fs::write(path.join("a"), "text").unwrap();
        std::fs::copy(path.join("a"), path.join("b")).unwrap();
        std::fs::create_dir_all(path.join("c/d")).unwrap();
        std::fs::remove_dir_all(path.join("c")).unwrap();
        assert!(std::thread::available_parallelism().is_ok());
        assert!("localhost:1".to_socket_addrs().is_ok());
        std::thread::sleep(Duration::from_nanos(1));
        let status = std::process::Command::new("true").status().unwrap();
        assert!(status.success());
    });
}

#[test]
fn several_programs_are_installed_one_after_the_other() {
    // Conditions on calls that the profile denies, too many for one program.
    let calls = [
        "ptrace",
        "mount",
        "reboot",
        "swapon",
        "init_module",
        "quotactl",
        "bpf",
        "keyctl",
        "add_key",
        "kcmp",
        "setns",
        "umount2",
        "acct",
        "syslog",
        "userfaultfd",
    ];
    let rule = Rule::Args {
        index: 0,
        values: (100..150).collect(),
        mask: None,
    };
    let programs = compiled(&spec(calls.into_iter().map(|call| (call, rule.clone()))));
    assert!(programs.len() > 1, "{}", programs.len());
    let (family, host) = confined(programs, || {
        (errno_of_socket(40), nix::unistd::sethostname(host_name()))
    });
    assert_eq!((family, host), (Errno::EPERM as i32, Err(Errno::EPERM)));
}

#[test]
fn the_filter_is_compiled_for_this_machine() {
    let native = Arch::native().unwrap();
    let other = Arch::ALL.into_iter().find(|arch| *arch != native).unwrap();
    let spec = SeccompSpec {
        profile: Some(Profile::Default),
        allow: BTreeMap::new(),
        capabilities: Vec::new(),
    };
    assert_ne!(
        compile(&spec, native).unwrap(),
        compile(&spec, other).unwrap()
    );
}

/// Single system calls, made by a program of a few instructions.
#[cfg(target_arch = "x86_64")]
mod raw {
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
}
