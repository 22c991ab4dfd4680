//! The tables against lists written down a second time.

use super::*;
use crate::seccomp::capability::ADDITIONS;
use crate::seccomp::profile::{CONDITIONAL, GROUPS};
use interpreter::{ENOSYS, EPERM};
use std::collections::BTreeSet;

/// Known calls the profile denies without any capability.
const DENIED: &str = "
    _sysctl acct add_key adjtimex afs_syscall bpf cachestat chroot clock_adjtime clock_settime clone3
    create_module delete_module epoll_ctl_old epoll_wait_old fanotify_init fanotify_mark
    finit_module fsconfig fsmount fsopen fspick get_kernel_syms get_mempolicy getpmsg init_module
    io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load
    keyctl listmount lookup_dcookie lsm_get_self_attr lsm_list_modules lsm_set_self_attr mbind migrate_pages modify_ldt mount
    mount_setattr move_mount move_pages nfsservctl open_by_handle_at open_tree open_tree_attr
    perf_event_open pidfd_getfd pivot_root process_madvise process_vm_readv process_vm_writev
    ptrace putpmsg query_module quotactl quotactl_fd reboot remap_file_pages request_key security
    set_mempolicy set_mempolicy_home_node setdomainname sethostname setns settimeofday statmount
    swapoff swapon sysfs syslog tuxcall umount2 unshare uprobe uretprobe uselib userfaultfd ustat
    vhangup vmsplice vserver";

/// Calls whose answer depends on arguments.
const BY_ARGUMENT: &str = "clone ioctl mknod mknodat personality socket socketpair";

/// What each capability adds.
const ADDED: &[(Capability, &str)] = &[
    (Capability::CAP_AUDIT_CONTROL, "socket"),
    (Capability::CAP_AUDIT_READ, "socket"),
    (Capability::CAP_AUDIT_WRITE, "socket"),
    (Capability::CAP_BPF, "bpf"),
    (Capability::CAP_DAC_READ_SEARCH, "open_by_handle_at"),
    (Capability::CAP_MKNOD, "mknod mknodat"),
    (Capability::CAP_NET_ADMIN, "socket"),
    (Capability::CAP_NET_RAW, "socket"),
    (Capability::CAP_PERFMON, "perf_event_open"),
    (
        Capability::CAP_SYS_ADMIN,
        "bpf clone clone3 fanotify_init fanotify_mark fsconfig fsmount fsopen fspick listmount
         lookup_dcookie mount mount_setattr move_mount open_tree open_tree_attr perf_event_open
         pivot_root quotactl quotactl_fd setdomainname sethostname setns statmount swapoff swapon
         syslog umount2 unshare",
    ),
    (
        Capability::CAP_SYS_BOOT,
        "kexec_file_load kexec_load reboot",
    ),
    (Capability::CAP_SYS_CHROOT, "chroot"),
    (
        Capability::CAP_SYS_MODULE,
        "delete_module finit_module init_module",
    ),
    (
        Capability::CAP_SYS_NICE,
        "get_mempolicy mbind migrate_pages move_pages set_mempolicy set_mempolicy_home_node",
    ),
    (Capability::CAP_SYS_PACCT, "acct"),
    (
        Capability::CAP_SYS_PTRACE,
        "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    ),
    (Capability::CAP_SYS_RAWIO, "ioperm iopl"),
    (
        Capability::CAP_SYS_TIME,
        "adjtimex clock_adjtime clock_settime settimeofday",
    ),
    (Capability::CAP_SYS_TTY_CONFIG, "vhangup"),
    (Capability::CAP_SYSLOG, "syslog"),
];

/// Every call of an architecture by name, as the kernel headers name it.
fn known(arch: Arch) -> BTreeSet<&'static str> {
    let names: Vec<&'static str> = match arch {
        Arch::X86_64 => (0..1100)
            .filter_map(syscalls::x86_64::Sysno::new)
            .map(|call| call.name())
            .collect(),
        Arch::Aarch64 => (0..1100)
            .filter(|number| !(403..=423).contains(number))
            .filter_map(syscalls::aarch64::Sysno::new)
            .map(|call| {
                if call.name() == "fstatat" {
                    "newfstatat"
                } else {
                    call.name()
                }
            })
            .collect(),
    };
    names.into_iter().collect()
}

#[test]
fn numbers_are_the_kernels() {
    for (call, x86_64, aarch64) in [
        ("read", Some(0), Some(63)),
        ("open", Some(2), None),
        ("newfstatat", Some(262), Some(79)),
        ("fstatat", None, None),
        ("clock_gettime64", None, None),
        ("quotactl", Some(179), Some(60)),
        ("clone3", Some(435), Some(435)),
        ("openat2", Some(437), Some(437)),
        ("file_setattr", Some(469), Some(469)),
        ("arch_prctl", Some(158), None),
        ("renameat", Some(264), Some(38)),
        ("socketcall", None, None),
    ] {
        assert_eq!(Arch::X86_64.number(call), x86_64, "{call}");
        assert_eq!(Arch::Aarch64.number(call), aarch64, "{call}");
    }
}

#[test]
fn every_name_in_the_tables_exists() {
    let groups = GROUPS
        .iter()
        .flat_map(|group| group.calls.split_whitespace());
    let conditional = CONDITIONAL.iter().map(|row| row.call);
    let added = ADDITIONS
        .iter()
        .flat_map(|addition| addition.calls.split_whitespace());
    let also = ADDITIONS
        .iter()
        .flat_map(|addition| addition.conditional)
        .map(|row| row.call);
    for call in groups.chain(conditional).chain(added).chain(also) {
        assert!(Arch::any_knows(call), "{call}");
    }
}

#[test]
fn every_known_call_is_decided() {
    for arch in Arch::ALL {
        let programs = compile(&default_profile(&[]), arch).unwrap();
        let by_argument = words(BY_ARGUMENT);
        let denied: BTreeSet<&str> = known(arch)
            .into_iter()
            .filter(|call| !by_argument.contains(call))
            .filter(|call| answer_to(&programs, arch, call, [0; 6]) != Verdict::Allow)
            .collect();
        let expected: BTreeSet<&str> = words(DENIED)
            .into_iter()
            .filter(|call| arch.number(call).is_some())
            .collect();
        assert_eq!(denied, expected, "{arch:?}");
    }
}

#[test]
fn denied_calls_answer_eperm_and_clone3_enosys() {
    for arch in Arch::ALL {
        let programs = compile(&default_profile(&[]), arch).unwrap();
        for call in words(DENIED)
            .into_iter()
            .filter(|call| arch.number(call).is_some())
        {
            let expected = if call == "clone3" { ENOSYS } else { EPERM };
            assert_eq!(
                answer_to(&programs, arch, call, [0; 6]),
                expected,
                "{call} on {arch:?}"
            );
        }
    }
}

/// Arguments that make every conditional call of the profile denied, except
/// those that only a capability's condition tells apart.
const HOSTILE: [u64; 6] = [0x7e02_0011, 0x6000, 0x6000, 0, 0, 0];

#[test]
fn a_capability_adds_exactly_its_calls() {
    for arch in Arch::ALL {
        let without = compile(&default_profile(&[]), arch).unwrap();
        for capability in caps::all() {
            let with = compile(&default_profile(&[capability]), arch).unwrap();
            let families = [17, 0x6000, 0x6000, 0, 0, 0];
            let netlink = [9, 12].map(|protocol| [16, 3, protocol, 0, 0, 0]);
            let added: BTreeSet<&str> = known(arch)
                .into_iter()
                .filter(|call| {
                    [HOSTILE, families].into_iter().chain(netlink).any(|args| {
                        answer_to(&without, arch, call, args) != Verdict::Allow
                            && answer_to(&with, arch, call, args) == Verdict::Allow
                    })
                })
                .collect();
            let expected = ADDED
                .iter()
                .find(|(name, _)| *name == capability)
                .map(|(_, calls)| words(calls))
                .unwrap_or_default()
                .into_iter()
                .filter(|call| arch.number(call).is_some())
                .collect();
            assert_eq!(added, expected, "{capability} on {arch:?}");
        }
    }
}

#[test]
fn a_capability_adds_exactly_its_protocols_of_netlink() {
    for arch in Arch::ALL {
        for capability in caps::all() {
            let programs = compile(&default_profile(&[capability]), arch).unwrap();
            let allowed: Vec<u64> = (0..=u64::from(u8::MAX))
                .filter(|protocol| {
                    let args = [16, 3, *protocol, 0, 0, 0];
                    answer_to(&programs, arch, "socket", args) == Verdict::Allow
                })
                .collect();
            let expected: &[u64] = match capability {
                Capability::CAP_AUDIT_CONTROL
                | Capability::CAP_AUDIT_READ
                | Capability::CAP_AUDIT_WRITE => &[0, 4, 9, 15, 16],
                Capability::CAP_NET_ADMIN => &[0, 4, 6, 12, 15, 16],
                _ => &[0, 4, 15, 16],
            };
            assert_eq!(allowed, expected, "{capability} on {arch:?}");
        }
    }
}

#[test]
fn a_capability_has_one_entry() {
    let mut seen = BTreeSet::new();
    for addition in ADDITIONS {
        assert!(
            seen.insert(addition.capability.to_string()),
            "{}",
            addition.capability
        );
    }
    assert_eq!(ADDITIONS.len(), ADDED.len());
}

#[test]
fn what_the_payload_does_under_its_filter_is_always_allowed() {
    for call in crate::plan::SYSCALLS_AFTER_FILTER {
        assert!(crate::seccomp::AFTER_FILTER.contains(call), "{call}");
    }
}
