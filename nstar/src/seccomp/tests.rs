//! Recordings in every form, and what is learned from them.

use northstar_api::Manifest;

use super::*;

fn record_with(text: &str, wanted: &Wanted, program: Option<&str>) -> Recording {
    let mut recorder = Recorder::new(Arch::X86_64, wanted, program);
    for line in text.lines() {
        recorder
            .line(line)
            .unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    recorder.end().0
}

fn record(text: &str) -> Recording {
    record_with(text, &Wanted::new(), None)
}

fn names(recording: &Recording) -> Vec<&str> {
    recording.calls.keys().copied().collect()
}

#[test]
fn lines_in_every_form_of_strace() {
    let text = r#"
execve("/bin/a", ["a"], 0x7ffc /* 3 vars */) = 0
1234  brk(NULL) = 0x5
[pid  1235] openat(AT_FDCWD</>, "/a, b)", O_RDONLY) = 3</a, b)>
12:34:56 close(3) = 0
12:34:56.789012 read(0, "x", 1) = 1 <0.000123>
1234 1700000000.123456 write(1, "write(2", 7) = 7
     0.000023 getpid() = 1
12:34:56 (+     0.000000) getuid() = 0
[00007f12abcd0123] getgid() = 0
[   39] getppid() = 1
1234<app> geteuid() = 0
[pid 1234<app>] getegid() = 0
syscall_0x3f(0x1, 0x2) = 0
exit_group(0) = ?
+++ exited with 0 +++
--- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED} ---
[pid  1235] +++ killed by SIGKILL +++
strace: Process 1235 attached
[ Process PID=1235 runs in 64 bit mode. ]
 > /lib/libc.so(read+0x1) [0x123]
1235  ???( <unfinished ...>
"#;
    let expected = [
        "brk",
        "close",
        "execve",
        "exit_group",
        "getegid",
        "geteuid",
        "getgid",
        "getpid",
        "getppid",
        "getuid",
        "openat",
        "read",
        "uname",
        "write",
    ];
    assert_eq!(names(&record(text)), expected);
}

#[test]
fn calls_that_others_interrupt_are_one_call_each() {
    let text = r#"
1 futex(0x1, FUTEX_WAIT, 2, NULL <unfinished ...>
2 socket(AF_INET, SOCK_STREAM <unfinished ...>
1 <... futex resumed>) = 0
2 <... socket resumed>, IPPROTO_TCP) = 3
1 nanosleep({tv_sec=1}, <unfinished ...>
3 <... wait4 resumed>NULL, 0, NULL) = 7
4 restart_syscall(<... resuming interrupted poll ...>) = 0
5 accept4(3,  <unfinished ...>
"#;
    let wanted = Wanted::from([("socket".to_owned(), 0)]);
    let recording = record_with(text, &wanted, None);
    assert_eq!(
        names(&recording),
        [
            "accept4",
            "futex",
            "nanosleep",
            "poll",
            "restart_syscall",
            "socket"
        ]
    );
    assert!(recording.calls.values().all(|uses| uses.count == 1));
    let arguments = &recording.calls["socket"].arguments;
    let expected = ["AF_INET", "SOCK_STREAM", "IPPROTO_TCP"].map(str::to_owned);
    assert_eq!(*arguments, [expected.to_vec()].into());
}

#[test]
fn what_cannot_be_right_is_refused() {
    let line = |text: &str| {
        let wanted = Wanted::new();
        let mut recorder = Recorder::new(Arch::X86_64, &wanted, None);
        recorder.line(text)
    };
    for text in [
        "[ Process PID=77 runs in 32 bit mode. ]",
        "strace: [ Process PID=77 runs in x32 mode. ]",
        "77 [ Process PID=77 runs in 32 bit mode. ]",
        "audit: type=1326 audit(1.1:1): arch=40000003 syscall=1 compat=1",
    ] {
        let result = line(text);
        assert!(
            matches!(result, Err(LineError::ForeignAbi { .. })),
            "{text}: {result:?}"
        );
    }
    for text in [
        "dance(1) = 0",
        "hello worldwrite(1, \"\", 0) = 0",
        "readx(1) = 1",
    ] {
        let result = line(text);
        // Output of the program in front of a call is no name, and no call either.
        assert!(
            matches!(result, Err(LineError::UnknownCall { .. }) | Ok(())),
            "{text}: {result:?}"
        );
    }
    assert_eq!(
        line("dance(1) = 0"),
        Err(LineError::UnknownCall {
            name: "dance".to_owned()
        })
    );
    let unknown = line("syscall_0x7000(0x1) = -1 ENOSYS");
    assert!(matches!(
        unknown,
        Err(LineError::UnknownNumber { number: 0x7000, .. })
    ));
}

#[test]
fn only_what_the_program_does_counts() {
    let text = r#"
10 mount("a", "/", 0, 0, 0) = 0
10 clone(child_stack=NULL, flags=SIGCHLD) = 2
11 setns(3, 0) = 0
11 execve("/other", [], 0) = 0
11 chroot("/") = 0
11 execve("/app", [], 0) = -1 ENOENT
11 execve("/app", ["/app"], 0 <unfinished ...>
10 pivot_root("a", "b") = 0
11 <... execve resumed>) = 0
11 getpid() = 1
10 wait4(-1, NULL, 0, NULL) = 2
12 gettid() = 3
"#;
    let wanted = Wanted::new();
    let recording = record_with(text, &wanted, Some("/app"));
    assert_eq!(names(&recording), ["execve", "getpid", "gettid"]);
    let mut recorder = Recorder::new(Arch::X86_64, &wanted, Some("/absent"));
    recorder.line("1 execve(\"/app\", [], 0) = 0").unwrap();
    assert!(!recorder.end().2);
}

/// The seccomp of a manifest that has `fragment`.
fn parsed(fragment: &str) -> northstar_manifest::Seccomp {
    let yaml = format!("name: a\nversion: 0.0.1\ninit: /a\nuid: 1\ngid: 1\n{fragment}");
    let manifest =
        Manifest::from_yaml(yaml.as_bytes()).unwrap_or_else(|error| panic!("{error}: {yaml}"));
    manifest.seccomp.unwrap()
}

const RUN: &str = r#"
1 execve("/a", [], 0) = 0
1 socket(AF_INET, 1, 0) = 3
1 socket(AF_PACKET, 3, 0) = 4
1 ioctl(1, TCGETS, 0x1) = 0
1 clone3({flags=CLONE_VM, exit_signal=SIGCHLD}, 88) = 2
1 mount("a", "b", NULL, 0, NULL) = -1 EPERM
1 exit_group(0) = ?
"#;

#[test]
fn a_list_of_its_own_is_what_the_manifest_takes() {
    let learned = learn(&record(RUN), &Wanted::new(), false).unwrap();
    let text = render(&learned);
    let expected = "\
# Learned by nstar from 7 system calls.
# default: the profile `default` allows what was recorded of it, too.
seccomp:
  allow:
    clone: !args {index: 0, mask: 18446744071595491327}  # default
    execve: any  # default
    exit_group: any  # default
    ioctl: any  # default
    mount: any
    socket: any
";
    assert_eq!(text, expected);
    let seccomp = parsed(&text);
    assert_eq!(seccomp.profile, None);
    let allow = seccomp.allow.unwrap();
    assert_eq!(allow.len(), 6);
    let northstar_manifest::Rule::Args(rule) = &allow["clone"] else {
        panic!("{allow:?}")
    };
    assert_eq!(rule.mask, Some(!0x7e02_0000));
}

#[test]
fn on_the_profile_only_what_it_lacks() {
    let learned = learn(&record(RUN), &Wanted::new(), true).unwrap();
    let text = render(&learned);
    let expected = "\
# Learned by nstar from 7 system calls.
seccomp:
  profile: default
  allow:
    mount: any
    socket: !args {index: 0, values: [17]}
";
    assert_eq!(text, expected);
    assert_eq!(
        parsed(&text).profile,
        Some(northstar_manifest::Profile::Default)
    );
    let nothing = learn(&record("getpid() = 1"), &Wanted::new(), true).unwrap();
    assert_eq!(parsed(&render(&nothing)).allow, None);
}

#[test]
fn arguments_are_learned_where_they_are_asked_for() {
    let wanted = Wanted::from([("socket".to_owned(), 0), ("ioctl".to_owned(), 1)]);
    let recording = record_with(RUN, &wanted, None);
    let text = render(&learn(&recording, &wanted, false).unwrap());
    assert!(
        text.contains("    socket: !args {index: 0, values: [2, 17]}\n"),
        "{text}"
    );
    assert!(
        text.contains("    ioctl: !args {index: 1, values: [21505]}"),
        "{text}"
    );
    let allow = parsed(&text).allow.unwrap();
    let northstar_manifest::Rule::Args(rule) = &allow["socket"] else {
        panic!("{allow:?}")
    };
    assert_eq!((rule.index, rule.values.clone()), (0, Some(vec![2, 17])));

    let error = |text: &str| {
        let recording = record_with(text, &wanted, None);
        match learn(&recording, &wanted, false) {
            Err(SeccompFailure::Argument { source, .. }) => source,
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(
        error("ioctl(1, DANCE, 0) = 0"),
        ArgumentError::Unknown { .. }
    ));
    assert_eq!(error("ioctl(1) = 0"), ArgumentError::Missing { index: 1 });
    let audit = "type=1326 audit(1.1:1): arch=c000003e syscall=16 compat=0";
    assert_eq!(error(audit), ArgumentError::NotRecorded);
    let many: String = (0..51).map(|n| format!("ioctl(1, {n}, 0) = 0\n")).collect();
    assert_eq!(
        error(&many),
        ArgumentError::TooMany {
            index: 1,
            count: 51
        }
    );
    let most: String = (0..50).map(|n| format!("ioctl(1, {n}, 0) = 0\n")).collect();
    let text = render(&learn(&record_with(&most, &wanted, None), &wanted, false).unwrap());
    assert!(parsed(&text).allow.is_some());
}

#[test]
fn recordings_are_merged_and_their_order_does_not_matter() {
    let wanted = Wanted::from([("socket".to_owned(), 0)]);
    let parts = [
        "1 socket(AF_INET, 1, 0) = 3\n1 read(3, 0, 0) = 0",
        "socket(AF_UNIX, 1, 0) = 3\nwrite(1, \"\", 0) = 0",
        "type=1326 audit(1.1:1): arch=c00000b7 syscall=64 compat=0",
    ];
    let text = |order: [usize; 3]| {
        let mut all = Recording::default();
        for index in order {
            all.merge(record_with(parts[index], &wanted, None));
        }
        render(&learn(&all, &wanted, false).unwrap())
    };
    let first = text([0, 1, 2]);
    assert!(
        first.contains("socket: !args {index: 0, values: [1, 2]}"),
        "{first}"
    );
    assert!(first.contains("from 5 system calls"), "{first}");
    assert_eq!(text([2, 1, 0]), first);
}

/// What is learned compiles for every architecture of the runtime.
#[test]
fn the_runtime_takes_what_is_learned() {
    use northstar_sandbox::seccomp::{self, SeccompSpec};
    let learned = learn(&record(RUN), &Wanted::new(), false).unwrap();
    let allow = learned
        .rules
        .into_iter()
        .map(|(call, (rule, _))| {
            let rule = match rule {
                Rule::Any => seccomp::Rule::Any,
                Rule::Values { index, values } => seccomp::Rule::Args {
                    index: u8::try_from(index).unwrap(),
                    values,
                    mask: None,
                },
                Rule::Mask { index, mask } => seccomp::Rule::Args {
                    index: u8::try_from(index).unwrap(),
                    values: Vec::new(),
                    mask: Some(mask),
                },
            };
            (call.to_owned(), rule)
        })
        .collect();
    let spec = SeccompSpec {
        allow,
        ..SeccompSpec::default()
    };
    for arch in seccomp::Arch::ALL {
        assert!(!seccomp::compile(&spec, arch).unwrap().is_empty());
    }
}
