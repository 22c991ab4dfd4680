//! `capabilities`: the capabilities of the payload (capabilities(7)).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

macro_rules! capabilities {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal;)*) => {
        /// A capability of capabilities(7); the value is the kernel's number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Capability {
            $($(#[$doc])* $variant = $number,)*
        }

        impl Capability {
            /// Every capability, in the order of the kernel's numbers.
            pub const ALL: &[Capability] = &[$(Capability::$variant,)*];

            /// The name, for example `CAP_NET_RAW`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Capability::$variant => $name,)*
                }
            }
        }

        impl FromStr for Capability {
            type Err = UnknownCapability;

            fn from_str(name: &str) -> Result<Self, Self::Err> {
                match name {
                    $($name => Ok(Capability::$variant),)*
                    _ => Err(UnknownCapability { name: name.to_owned() }),
                }
            }
        }
    };
}

capabilities! {
    /// May change the owner of any file.
    Chown = 0, "CAP_CHOWN";
    /// May bypass permission checks on files.
    DacOverride = 1, "CAP_DAC_OVERRIDE";
    /// May bypass permission checks on reading files and directories.
    DacReadSearch = 2, "CAP_DAC_READ_SEARCH";
    /// May act as the owner of any file.
    Fowner = 3, "CAP_FOWNER";
    /// May keep set-id bits when a file is modified.
    Fsetid = 4, "CAP_FSETID";
    /// May send signals to any process.
    Kill = 5, "CAP_KILL";
    /// May change group ids.
    Setgid = 6, "CAP_SETGID";
    /// May change user ids.
    Setuid = 7, "CAP_SETUID";
    /// May change capability sets.
    Setpcap = 8, "CAP_SETPCAP";
    /// May change the immutable and append-only flags of files.
    LinuxImmutable = 9, "CAP_LINUX_IMMUTABLE";
    /// May bind ports below 1024.
    NetBindService = 10, "CAP_NET_BIND_SERVICE";
    /// May send broadcasts, listen to multicasts.
    NetBroadcast = 11, "CAP_NET_BROADCAST";
    /// May configure the network.
    NetAdmin = 12, "CAP_NET_ADMIN";
    /// May open raw and packet sockets.
    NetRaw = 13, "CAP_NET_RAW";
    /// May lock memory.
    IpcLock = 14, "CAP_IPC_LOCK";
    /// May bypass permission checks on System V IPC.
    IpcOwner = 15, "CAP_IPC_OWNER";
    /// May load and unload kernel modules.
    SysModule = 16, "CAP_SYS_MODULE";
    /// May access I/O ports and memory devices.
    SysRawio = 17, "CAP_SYS_RAWIO";
    /// May call chroot and setns.
    SysChroot = 18, "CAP_SYS_CHROOT";
    /// May trace any process.
    SysPtrace = 19, "CAP_SYS_PTRACE";
    /// May switch process accounting.
    SysPacct = 20, "CAP_SYS_PACCT";
    /// May administer the system: mounts, namespaces and much else.
    SysAdmin = 21, "CAP_SYS_ADMIN";
    /// May reboot, load another kernel.
    SysBoot = 22, "CAP_SYS_BOOT";
    /// May change priorities and scheduling of any process.
    SysNice = 23, "CAP_SYS_NICE";
    /// May exceed resource limits.
    SysResource = 24, "CAP_SYS_RESOURCE";
    /// May set the clocks.
    SysTime = 25, "CAP_SYS_TIME";
    /// May configure terminals.
    SysTtyConfig = 26, "CAP_SYS_TTY_CONFIG";
    /// May create device nodes.
    Mknod = 27, "CAP_MKNOD";
    /// May take leases on any file.
    Lease = 28, "CAP_LEASE";
    /// May write to the audit log.
    AuditWrite = 29, "CAP_AUDIT_WRITE";
    /// May configure auditing.
    AuditControl = 30, "CAP_AUDIT_CONTROL";
    /// May give capabilities to files.
    Setfcap = 31, "CAP_SETFCAP";
    /// May override mandatory access control.
    MacOverride = 32, "CAP_MAC_OVERRIDE";
    /// May configure mandatory access control.
    MacAdmin = 33, "CAP_MAC_ADMIN";
    /// May do privileged syslog operations.
    Syslog = 34, "CAP_SYSLOG";
    /// May set timers that wake the system up.
    WakeAlarm = 35, "CAP_WAKE_ALARM";
    /// May keep the system from suspending.
    BlockSuspend = 36, "CAP_BLOCK_SUSPEND";
    /// May read the audit log.
    AuditRead = 37, "CAP_AUDIT_READ";
    /// May monitor performance.
    Perfmon = 38, "CAP_PERFMON";
    /// May do privileged BPF operations.
    Bpf = 39, "CAP_BPF";
    /// May checkpoint and restore processes.
    CheckpointRestore = 40, "CAP_CHECKPOINT_RESTORE";
}

/// A name that is not a capability.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown capability `{name}`: see capabilities(7), for example CAP_NET_RAW")]
pub struct UnknownCapability {
    /// The name as it was written.
    pub name: String,
}

impl Capability {
    /// The kernel's number (linux/capability.h).
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Capability {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Capability {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_the_kernel_without_a_gap() {
        for (number, capability) in Capability::ALL.iter().enumerate() {
            assert_eq!(usize::from(capability.number()), number);
            assert_eq!(
                capability.as_str().parse::<Capability>().as_ref(),
                Ok(capability)
            );
        }
        assert_eq!(Capability::Chown.number(), 0);
        assert_eq!(Capability::SysAdmin.number(), 21);
        assert_eq!(Capability::CheckpointRestore.number(), 40);
        assert_eq!(Capability::ALL.len(), 41);
    }

    #[test]
    fn names_are_exact() {
        for name in ["NET_RAW", "cap_net_raw", "CAP_NOTHING", ""] {
            assert_eq!(
                name.parse::<Capability>(),
                Err(UnknownCapability {
                    name: name.to_owned()
                })
            );
        }
    }
}
