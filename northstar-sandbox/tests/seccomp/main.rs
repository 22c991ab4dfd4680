//! Compiled filters in a real kernel, each in a thread of its own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

#[cfg(target_arch = "x86_64")]
mod raw;

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
