//! The profile `default`: which system calls a container may use without any
//! capability, as data.
//!
//! A call that is in none of the tables is denied. The tables name calls of
//! every supported architecture; a name an architecture does not have is left
//! out there. `docs/seccomp.md` says why the profile differs from those of
//! other engines. What a capability adds on top stands in
//! [`capability`](super::capability).

use super::condition::{Check, Conditional};

/// Calls that serve one purpose and are allowed with any arguments.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// What the calls are for.
    pub purpose: &'static str,
    /// Names as in the kernel's tables, separated by white space.
    pub calls: &'static str,
}

/// Calls allowed whatever their arguments are.
pub const GROUPS: &[Group] = &[
    Group {
        purpose: "open, read and write files",
        calls: "open openat openat2 creat close close_range read write readv writev pread64
                pwrite64 preadv pwritev preadv2 pwritev2 lseek readahead fadvise64 sendfile
                copy_file_range splice tee truncate ftruncate fallocate fsync fdatasync sync
                syncfs sync_file_range flock fcntl dup dup2 dup3",
    },
    Group {
        purpose: "names, directories and metadata",
        calls: "access faccessat faccessat2 stat lstat fstat newfstatat statx statfs fstatfs
                getdents getdents64 getcwd chdir fchdir mkdir mkdirat rmdir link linkat
                symlink symlinkat readlink readlinkat unlink unlinkat rename renameat
                renameat2 chmod fchmod fchmodat fchmodat2 chown lchown fchown fchownat umask
                utime utimes futimesat utimensat name_to_handle_at file_getattr file_setattr",
    },
    Group {
        purpose: "extended attributes",
        calls: "getxattr lgetxattr fgetxattr getxattrat setxattr lsetxattr fsetxattr
                setxattrat listxattr llistxattr flistxattr listxattrat removexattr
                lremovexattr fremovexattr removexattrat",
    },
    Group {
        purpose: "wait for descriptors",
        calls: "poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait
                epoll_pwait epoll_pwait2 eventfd eventfd2 signalfd signalfd4 inotify_init
                inotify_init1 inotify_add_watch inotify_rm_watch pipe pipe2",
    },
    Group {
        purpose: "asynchronous file i/o of libaio, which unlike io_uring passes every check of read and write",
        calls: "io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents",
    },
    Group {
        purpose: "memory",
        calls: "brk mmap munmap mremap mprotect madvise mincore msync mlock mlock2 mlockall
                munlock munlockall memfd_create memfd_secret pkey_alloc pkey_free
                pkey_mprotect membarrier mseal map_shadow_stack",
    },
    Group {
        purpose: "processes and threads",
        calls: "fork vfork execve execveat exit exit_group wait4 waitid getpid gettid
                getppid getpgid getpgrp setpgid getsid setsid set_tid_address
                set_robust_list get_robust_list rseq futex futex_waitv futex_wait futex_wake
                futex_requeue restart_syscall arch_prctl set_thread_area get_thread_area
                prctl pidfd_open pidfd_send_signal process_mrelease getcpu",
    },
    Group {
        purpose: "signals",
        calls: "kill tkill tgkill rt_sigaction rt_sigprocmask rt_sigpending rt_sigsuspend
                rt_sigtimedwait rt_sigqueueinfo rt_tgsigqueueinfo rt_sigreturn sigaltstack
                pause",
    },
    Group {
        purpose: "time and timers, without setting the clock",
        calls: "time gettimeofday clock_gettime clock_getres clock_nanosleep nanosleep times
                alarm getitimer setitimer timer_create timer_delete timer_getoverrun
                timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime",
    },
    Group {
        purpose: "identity: the kernel checks the capabilities",
        calls: "getuid geteuid getgid getegid getresuid getresgid getgroups setuid setgid
                setreuid setregid setresuid setresgid setfsuid setfsgid setgroups capget
                capset",
    },
    Group {
        purpose: "scheduling and resource limits of own processes",
        calls: "sched_yield sched_getaffinity sched_setaffinity sched_getattr sched_setattr
                sched_getparam sched_setparam sched_getscheduler sched_setscheduler
                sched_get_priority_max sched_get_priority_min sched_rr_get_interval
                getpriority setpriority ioprio_get ioprio_set getrlimit setrlimit prlimit64
                getrusage",
    },
    Group {
        purpose: "sockets that exist already; socket itself is conditional",
        calls: "bind listen accept accept4 connect shutdown getsockname getpeername
                getsockopt setsockopt sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg",
    },
    Group {
        purpose: "System V and POSIX IPC, private through the IPC namespace",
        calls: "shmget shmat shmdt shmctl semget semop semtimedop semctl msgget msgsnd
                msgrcv msgctl mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify
                mq_getsetattr",
    },
    Group {
        purpose: "facts about the system",
        calls: "uname sysinfo getrandom",
    },
    Group {
        purpose: "further restriction of the caller itself",
        calls: "seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self",
    },
];

/// Every flag that makes `clone` create a namespace: mnt, cgroup, uts, ipc,
/// user, pid, net (`linux/sched.h`).
const CLONE_NAMESPACES: u32 = 0x7e02_0000;

/// `S_IFMT`: the file type in a mode.
const FILE_TYPE: u32 = 0o170_000;

/// Address families of `socket(2)` in the default profile. The kernel reads
/// `int`, so everything compares 32 bits: an upper half would be ignored there
/// and must not matter here.
pub const AF_UNIX: u32 = 1;
/// See [`AF_UNIX`].
pub const AF_INET: u32 = 2;
/// See [`AF_UNIX`].
pub const AF_INET6: u32 = 10;
/// See [`AF_UNIX`]; with some protocols, see [`netlink`].
pub const AF_NETLINK: u32 = 16;
/// Only with CAP_NET_RAW, see [`capability`](super::capability).
pub const AF_PACKET: u32 = 17;

/// Interfaces, addresses and routes; libc asks for them.
const NETLINK_ROUTE: u32 = 0;
/// Sockets and their state.
const NETLINK_SOCK_DIAG: u32 = 4;
/// IPsec, only with CAP_NET_ADMIN.
pub const NETLINK_XFRM: u32 = 6;
/// The audit subsystem, only with one of its capabilities.
pub const NETLINK_AUDIT: u32 = 9;
/// The firewall and its logs, only with CAP_NET_ADMIN.
pub const NETLINK_NETFILTER: u32 = 12;
/// Events of devices.
const NETLINK_KOBJECT_UEVENT: u32 = 15;
/// Families by name, such as nl80211 and ethtool.
const NETLINK_GENERIC: u32 = 16;

/// A netlink socket of a protocol (`linux/netlink.h`).
pub const fn netlink(protocol: u32) -> [Check; 2] {
    [Check::equal(0, AF_NETLINK), Check::equal(2, protocol)]
}

/// Fakes input to a terminal (`asm-generic/ioctls.h`).
const TIOCSTI: u32 = 0x5412;
/// Pastes the selection of a virtual console (`asm-generic/ioctls.h`).
const TIOCLINUX: u32 = 0x541c;

/// Calls allowed for some arguments only: any row whose checks all hold allows
/// the call.
pub const CONDITIONAL: &[Conditional] = &[
    // Families are an allow-list: every family but the named ones is denied,
    // among them AF_ALG, AF_VSOCK and AF_PACKET.
    Conditional {
        call: "socket",
        when: &[&[Check::equal(0, AF_UNIX)]],
    },
    Conditional {
        call: "socket",
        when: &[&[Check::equal(0, AF_INET)]],
    },
    Conditional {
        call: "socket",
        when: &[&[Check::equal(0, AF_INET6)]],
    },
    // Protocols of netlink are an allow-list as well: each stands for a part of
    // the kernel, some are loaded on demand, and NETLINK_CRYPTO leads to what
    // AF_ALG is denied for.
    Conditional {
        call: "socket",
        when: &[
            &netlink(NETLINK_ROUTE),
            &netlink(NETLINK_SOCK_DIAG),
            &netlink(NETLINK_KOBJECT_UEVENT),
            &netlink(NETLINK_GENERIC),
        ],
    },
    Conditional {
        call: "socketpair",
        when: &[&[Check::equal(0, AF_UNIX)]],
    },
    // The kernel drops the upper half of the command, so only the low word may
    // be compared: TIOCSTI with a bit above 31 set is still TIOCSTI.
    Conditional {
        call: "ioctl",
        when: &[&[Check::differs(1, TIOCSTI), Check::differs(1, TIOCLINUX)]],
    },
    // Threads and children, no namespaces. clone3 passes its flags in memory,
    // where a filter cannot look; it answers ENOSYS and libc falls back to clone.
    Conditional {
        call: "clone",
        when: &[&[Check::clear(0, CLONE_NAMESPACES)]],
    },
    // Plain files, fifos and sockets; device nodes need CAP_MKNOD.
    Conditional {
        call: "mknod",
        when: NODE_WITHOUT_DEVICE_1,
    },
    Conditional {
        call: "mknodat",
        when: NODE_WITHOUT_DEVICE_2,
    },
    // PER_LINUX, PER_LINUX32, both with UNAME26, and the query.
    Conditional {
        call: "personality",
        when: &[
            &[Check::equal(0, 0x0)],
            &[Check::equal(0, 0x8)],
            &[Check::equal(0, 0x2_0000)],
            &[Check::equal(0, 0x2_0008)],
            &[Check::equal(0, 0xffff_ffff)],
        ],
    },
];

const NODE_WITHOUT_DEVICE_1: &[&[Check]] = &[
    &[Check::masked(1, FILE_TYPE, 0)],
    &[Check::masked(1, FILE_TYPE, 0o010_000)],
    &[Check::masked(1, FILE_TYPE, 0o100_000)],
    &[Check::masked(1, FILE_TYPE, 0o140_000)],
];

const NODE_WITHOUT_DEVICE_2: &[&[Check]] = &[
    &[Check::masked(2, FILE_TYPE, 0)],
    &[Check::masked(2, FILE_TYPE, 0o010_000)],
    &[Check::masked(2, FILE_TYPE, 0o100_000)],
    &[Check::masked(2, FILE_TYPE, 0o140_000)],
];
