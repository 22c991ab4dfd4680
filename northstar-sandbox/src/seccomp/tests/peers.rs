//! What other engines allow without any capability, to compare the profile
//! with: `docs/seccomp.md` has to give a reason for each difference.

use super::*;
use crate::seccomp::capability::ADDITIONS;
use std::collections::{BTreeMap, BTreeSet};

/// Allowed, for some arguments at least, by Docker, Podman and containerd; the
/// page names the versions.
const BY_ALL: &str = "
    accept accept4 access adjtimex alarm arch_prctl bind brk capget capset chdir chmod chown
    clock_adjtime clock_getres clock_gettime clock_nanosleep clone close close_range connect
    copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old
    epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit
    exit_group faccessat faccessat2 fadvise64 fallocate fanotify_mark fchdir fchmod fchmodat
    fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr
    fstat fstatfs fsync ftruncate futex futex_waitv futimesat get_robust_list
    get_thread_area getcpu getcwd getdents getdents64 getegid geteuid getgid getgroups
    getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid
    getresuid getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid
    getxattr inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel
    io_destroy io_getevents io_setup io_submit ioctl ioprio_get ioprio_set kill
    landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lgetxattr link
    linkat listen listxattr llistxattr lremovexattr lseek lsetxattr lstat madvise membarrier
    memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap
    modify_ldt mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend
    mq_unlink mremap msgctl msgget msgrcv msgsnd msync munlock munlockall munmap nanosleep
    newfstatat open openat openat2 pause personality pidfd_open pidfd_send_signal pipe pipe2
    poll ppoll prctl pread64 preadv preadv2 prlimit64 process_mrelease pselect6 ptrace
    pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recvfrom recvmmsg
    recvmsg remap_file_pages removexattr rename renameat renameat2 restart_syscall rmdir
    rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
    rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max
    sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler
    sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam sched_setscheduler
    sched_yield seccomp select semctl semget semop semtimedop sendfile sendmmsg sendmsg
    sendto set_robust_list set_thread_area set_tid_address setfsgid setfsuid setgid
    setgroups setitimer setpgid setpriority setregid setresgid setresuid setreuid setrlimit
    setsid setsockopt setuid setxattr shmat shmctl shmdt shmget shutdown sigaltstack
    signalfd signalfd4 socket socketpair splice stat statfs statx symlink symlinkat sync
    sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete
    timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime
    timerfd_settime times tkill truncate umask uname unlink unlinkat utime utimensat utimes
    vfork wait4 waitid write writev";

/// Allowed by the engines named, not by the others.
const BY_SOME: &[(&str, &str)] = &[
    (
        "containerd",
        "io_uring_enter io_uring_register io_uring_setup",
    ),
    (
        "Docker",
        "cachestat getxattrat listmount listxattrat map_shadow_stack mseal
         removexattrat setxattrat statmount uretprobe",
    ),
    (
        "Podman",
        "clone3 fanotify_init fsconfig fsmount fsopen fspick get_mempolicy keyctl mbind
         mount mount_setattr move_mount open_tree pidfd_getfd pivot_root reboot
         set_mempolicy setns syslog umount2 unshare",
    ),
    ("Docker, containerd", "io_pgetevents vmsplice"),
    (
        "Docker, Podman",
        "fchmodat2 futex_requeue futex_wait futex_wake name_to_handle_at pkey_alloc
         pkey_free pkey_mprotect process_vm_readv process_vm_writev",
    ),
];

/// What Flatpak refuses to its applications, and what systemd.exec(5) leaves
/// out of `@system-service`: the groups clock, cpu-emulation, debug, module,
/// mount, obsolete, raw-io, reboot and swap.
const BY_NEITHER_FLATPAK_NOR_SYSTEMD: &str = "
    _sysctl acct add_key adjtimex afs_syscall chroot clock_adjtime clock_settime create_module
    delete_module finit_module fsconfig fsmount fsopen fspick get_kernel_syms get_mempolicy
    getpmsg init_module ioperm iopl kexec_file_load kexec_load keyctl lookup_dcookie mbind
    migrate_pages modify_ldt mount mount_setattr move_mount move_pages open_tree
    perf_event_open pidfd_getfd pivot_root ptrace putpmsg query_module quotactl reboot
    request_key security set_mempolicy setns settimeofday swapoff swapon sysfs syslog tuxcall
    umount2 unshare uselib ustat vserver";

/// The page, compiled in so that the test needs no file.
const PAGE: &str = include_str!("../../../../docs/seccomp.md");

type Names = BTreeSet<&'static str>;

/// The engines that allow a call, as the page writes them.
fn engines(call: &str) -> &'static str {
    if words(BY_ALL).contains(call) {
        return "all";
    }
    BY_SOME
        .iter()
        .find(|(_, calls)| words(calls).contains(call))
        .map_or("none", |(engines, _)| engines)
}

/// Calls that the profile allows for some arguments at least, and all others.
fn allowed_and_denied() -> (Names, Names) {
    let mut names = Names::new();
    let mut allowed = Names::new();
    // Arguments that suit every call with conditions: a family, a kind of node,
    // no flags, an ioctl that is no terminal's.
    let suits = [1, 0, 0, 0, 0, 0];
    for arch in Arch::ALL {
        let programs = compile(&default_profile(&[]), arch).unwrap();
        for number in arch.numbers() {
            let name = arch.name(number).unwrap();
            names.insert(name);
            let answers = [[0; 6], suits].map(|args| answer(&programs, arch, number, args));
            if answers.contains(&Verdict::Allow) {
                allowed.insert(name);
            }
        }
    }
    let denied = names.difference(&allowed).copied().collect();
    (allowed, denied)
}

/// The rows of the table below a heading: the cells without the bars.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, section) = PAGE.split_once(&format!("## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

/// Words in backquotes.
fn quoted(cell: &'static str) -> impl Iterator<Item = &'static str> {
    cell.split('`').skip(1).step_by(2)
}

/// Each call of a table of differences, with the engines that allow it.
fn differences(heading: &str) -> BTreeMap<&'static str, &'static str> {
    let mut result = BTreeMap::new();
    for row in rows(heading) {
        let [calls, engines, reason] = row[..] else {
            panic!("{row:?}");
        };
        assert!(!reason.is_empty(), "{calls}");
        for call in quoted(calls) {
            assert_eq!(result.insert(call, engines), None, "{call} is there twice");
        }
    }
    result
}

#[test]
fn lists_of_other_engines_name_calls_once() {
    let mut seen = Names::new();
    for list in [BY_ALL].into_iter().chain(BY_SOME.iter().map(|row| row.1)) {
        for call in list.split_whitespace() {
            assert!(Arch::any_knows(call), "{call}");
            assert!(seen.insert(call), "{call}");
        }
    }
}

#[test]
fn page_gives_a_reason_for_what_is_allowed_here_alone() {
    let (allowed, _) = allowed_and_denied();
    let laxer: BTreeMap<_, _> = allowed
        .into_iter()
        .map(|call| (call, engines(call)))
        .filter(|(_, engines)| *engines != "all")
        .collect();
    assert_eq!(differences("Allowed, though others deny it"), laxer);
}

#[test]
fn page_gives_a_reason_for_what_is_denied_here_alone() {
    let (_, denied) = allowed_and_denied();
    let stricter: BTreeMap<_, _> = denied
        .into_iter()
        .map(|call| (call, engines(call)))
        .filter(|(_, engines)| *engines != "none")
        .collect();
    assert_eq!(differences("Denied, though others allow it"), stricter);
}

#[test]
fn nothing_is_allowed_that_flatpak_and_systemd_keep_out() {
    let (_, denied) = allowed_and_denied();
    let missing: Vec<_> = words(BY_NEITHER_FLATPAK_NOR_SYSTEMD)
        .difference(&denied)
        .copied()
        .collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn page_lists_what_each_capability_adds() {
    let page: BTreeMap<String, Names> = rows("What a capability adds")
        .into_iter()
        .flat_map(|row| {
            let [capabilities, calls] = row[..] else {
                panic!("{row:?}");
            };
            quoted(capabilities)
                .map(move |capability| (capability.to_owned(), quoted(calls).collect()))
        })
        .collect();
    let code: BTreeMap<String, Names> = ADDITIONS
        .iter()
        .map(|addition| {
            let conditional = addition.conditional.iter().map(|row| row.call);
            let calls = words(addition.calls).into_iter().chain(conditional);
            (addition.capability.to_string(), calls.collect())
        })
        .collect();
    assert_eq!(page, code);
}
