//! `rlimits`: resource limits (setrlimit(2)).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    error::Problem,
    validate::{At, Checked},
};

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $word:literal, $name:literal;)*) => {
        /// A resource of setrlimit(2).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum RlimitKind {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)*
        }

        impl RlimitKind {
            /// Every resource.
            pub const ALL: &[RlimitKind] = &[$(RlimitKind::$variant,)*];

            /// The word in a manifest.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(RlimitKind::$variant => $word,)*
                }
            }

            /// The name in setrlimit(2).
            #[must_use]
            pub fn constant(self) -> &'static str {
                match self {
                    $(RlimitKind::$variant => $name,)*
                }
            }
        }
    };
}

kinds! {
    /// Address space in bytes.
    As = "as", "RLIMIT_AS";
    /// Core file in bytes.
    Core = "core", "RLIMIT_CORE";
    /// CPU time in seconds.
    Cpu = "cpu", "RLIMIT_CPU";
    /// Data segment in bytes.
    Data = "data", "RLIMIT_DATA";
    /// Largest file in bytes.
    Fsize = "fsize", "RLIMIT_FSIZE";
    /// File locks and leases.
    Locks = "locks", "RLIMIT_LOCKS";
    /// Locked memory in bytes.
    Memlock = "memlock", "RLIMIT_MEMLOCK";
    /// POSIX message queues in bytes.
    Msgqueue = "msgqueue", "RLIMIT_MSGQUEUE";
    /// Ceiling of the nice value, as 20 - nice.
    Nice = "nice", "RLIMIT_NICE";
    /// One more than the largest descriptor number.
    Nofile = "nofile", "RLIMIT_NOFILE";
    /// Processes and threads of the user.
    Nproc = "nproc", "RLIMIT_NPROC";
    /// Resident set in bytes; without effect in current kernels.
    Rss = "rss", "RLIMIT_RSS";
    /// Ceiling of the real-time priority.
    Rtprio = "rtprio", "RLIMIT_RTPRIO";
    /// CPU time in microseconds without a blocking call under a real-time policy.
    Rttime = "rttime", "RLIMIT_RTTIME";
    /// Queued signals of the user.
    Sigpending = "sigpending", "RLIMIT_SIGPENDING";
    /// Stack in bytes.
    Stack = "stack", "RLIMIT_STACK";
}

/// A soft and a hard limit; `None` is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(transform = crate::schema::rlimit_value))]
pub struct RlimitValue {
    /// The limit in force.
    #[serde(default)]
    pub soft: Option<u64>,
    /// How far the container may raise the soft limit.
    #[serde(default)]
    pub hard: Option<u64>,
}

pub(crate) fn validate(rlimits: &BTreeMap<RlimitKind, RlimitValue>) -> Checked {
    let at = At::field("rlimits");
    rlimits
        .iter()
        .try_for_each(|(kind, RlimitValue { soft, hard })| {
            let Some(hard) = *hard else { return Ok(()) };
            let within = soft.is_some_and(|soft| soft <= hard);
            at.key(kind.as_str())
                .ensure(within, || Problem::SoftAboveHard { hard })
        })
}
