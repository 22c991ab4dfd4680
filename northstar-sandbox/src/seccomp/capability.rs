//! What a capability adds to the profile `default`, as data.
//!
//! A capability adds the calls that capabilities(7) documents for it and that
//! the profile denies otherwise, nothing else. A capability without an entry
//! adds nothing: the calls it is about are in the profile already and the
//! kernel checks the capability itself. No capability adds io_uring,
//! userfaultfd, the keyring calls, TIOCSTI, TIOCLINUX or the socket families
//! AF_ALG and AF_VSOCK; those need an explicit `allow`. Neither does
//! CAP_CHECKPOINT_RESTORE add clone3: only one of its flags is about that
//! capability, and a filter cannot see the others.

use super::condition::{Check, Conditional};
use super::profile::{AF_PACKET, NETLINK_AUDIT, NETLINK_NETFILTER, NETLINK_XFRM, netlink};
use caps::Capability;

/// What one capability adds.
#[derive(Debug, Clone, Copy)]
pub struct Addition {
    /// The capability.
    pub capability: Capability,
    /// Calls allowed with any arguments, separated by white space.
    pub calls: &'static str,
    /// Calls allowed with certain arguments.
    pub conditional: &'static [Conditional],
}

/// The additions; at most one entry per capability.
pub const ADDITIONS: &[Addition] = &[
    Addition {
        capability: Capability::CAP_AUDIT_CONTROL,
        calls: "",
        conditional: AUDIT,
    },
    Addition {
        capability: Capability::CAP_AUDIT_READ,
        calls: "",
        conditional: AUDIT,
    },
    Addition {
        capability: Capability::CAP_AUDIT_WRITE,
        calls: "",
        conditional: AUDIT,
    },
    Addition {
        capability: Capability::CAP_BPF,
        calls: "bpf",
        conditional: &[],
    },
    Addition {
        capability: Capability::CAP_DAC_READ_SEARCH,
        calls: "open_by_handle_at",
        conditional: &[],
    },
    Addition {
        capability: Capability::CAP_MKNOD,
        calls: "mknod mknodat",
        conditional: &[],
    },
    Addition {
        capability: Capability::CAP_NET_ADMIN,
        calls: "",
        conditional: &[Conditional {
            call: "socket",
            when: &[&netlink(NETLINK_NETFILTER), &netlink(NETLINK_XFRM)],
        }],
    },
    Addition {
        capability: Capability::CAP_NET_RAW,
        calls: "",
        conditional: &[Conditional {
            call: "socket",
            when: &[&[Check::equal(0, AF_PACKET)]],
        }],
    },
    Addition {
        capability: Capability::CAP_PERFMON,
        calls: "perf_event_open",
        conditional: &[],
    },
    Addition {
        capability: Capability::CAP_SYS_ADMIN,
        calls: "mount umount2 pivot_root open_tree open_tree_attr move_mount fsopen fsconfig
                fsmount fspick mount_setattr statmount listmount clone clone3 unshare setns
                sethostname setdomainname quotactl quotactl_fd swapon swapoff fanotify_init
                fanotify_mark lookup_dcookie syslog bpf perf_event_open",
        conditional: &[],
    },
    Addition {
        capability: Capability::CAP_SYS_BOOT,
        calls: "reboot kexec_load kexec_file_load",
        conditional: &[],
    },
    Addition {
        capability: Capability::CAP_SYS_CHROOT,
        calls: "chroot",
        conditional: &[],
    },
    Addition {
        capability: Capability::CAP_SYS_MODULE,
        calls: "init_module finit_module delete_module",
        conditional: &[],
    },
    Addition {
        capability: Capability::CAP_SYS_NICE,
        calls: "mbind get_mempolicy set_mempolicy set_mempolicy_home_node migrate_pages
                move_pages",
        conditional: &[],
    },
    Addition {
        capability: Capability::CAP_SYS_PACCT,
        calls: "acct",
        conditional: &[],
    },
    Addition {
        capability: Capability::CAP_SYS_PTRACE,
        calls: "ptrace process_vm_readv process_vm_writev process_madvise kcmp pidfd_getfd",
        conditional: &[],
    },
    Addition {
        capability: Capability::CAP_SYS_RAWIO,
        calls: "ioperm iopl",
        conditional: &[],
    },
    Addition {
        capability: Capability::CAP_SYS_TIME,
        calls: "settimeofday clock_settime adjtimex clock_adjtime",
        conditional: &[],
    },
    Addition {
        capability: Capability::CAP_SYS_TTY_CONFIG,
        calls: "vhangup",
        conditional: &[],
    },
    Addition {
        capability: Capability::CAP_SYSLOG,
        calls: "syslog",
        conditional: &[],
    },
];

/// What the capabilities of the audit subsystem are about.
const AUDIT: &[Conditional] = &[Conditional {
    call: "socket",
    when: &[&netlink(NETLINK_AUDIT)],
}];

/// The entry of a capability, if it adds anything.
pub fn addition(capability: Capability) -> Option<&'static Addition> {
    ADDITIONS
        .iter()
        .find(|addition| addition.capability == capability)
}
