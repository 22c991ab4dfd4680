//! The steps of a start, in the order they are taken. The names are part of the interface: they
//! reach operators in error messages and stand, with reasons, in `docs/start.md`.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

macro_rules! steps {
    ($($(#[$doc:meta])* $variant:ident $name:literal,)*) => {
        /// A step of a start.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Step {
            $($(#[$doc])* $variant,)*
        }

        impl Step {
            /// Every step, in order.
            pub const ALL: &[Step] = &[$(Step::$variant,)*];

            /// The stable name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Step::$variant => $name,)*
                }
            }
        }
    };
}

steps! {
    /// Forker: init is created in a new pid namespace.
    Clone "clone",
    /// Init: every descriptor that does not belong to this container is closed.
    Descriptors "descriptors",
    /// Init: nobody may trace it or read its memory.
    Dumpable "dumpable",
    /// Init: a session of its own, away from every terminal.
    Session "session",
    /// Init: a keyring of its own, without the daemon's keys.
    Keyring "keyring",
    /// Init: dies with the forker.
    ParentDeath "parent-death",
    /// Init: what it creates is for nobody else.
    Umask "umask",
    /// Init: the plan is read from its sealed memory file.
    Plan "plan",
    /// Init: a procfs handle that no image can redirect.
    Procfs "procfs",
    /// Init: it and the payload are no better protected from the kernel's lack of memory than others.
    OomScore "oom-score",
    /// Init: the user namespace is made, and the namespaces that belong to it.
    UserNamespace "user-namespace",
    /// Init: the network namespace is made or joined.
    Network "network",
    /// Init: mount, ipc and uts namespaces are made.
    Namespaces "namespaces",
    /// Init: mounts are cut off from every other mount namespace.
    Private "private",
    /// Init: the host name is set.
    Hostname "hostname",
    /// Init: files of a mount get the ids of the user namespace; the detail is its target. Taken as often as there are
    /// mounts.
    IdMap "id-map",
    /// Init: the root image is attached.
    Root "root",
    /// Init: one mount below the root; the detail is its target.
    Mount "mount",
    /// Init: an entry of procfs or sysfs is hidden; the detail is its path.
    Mask "mask",
    /// Init: what the kernel says is mounted equals the plan.
    Compare "compare",
    /// Init: the root is changed.
    PivotRoot "pivot-root",
    /// Init: the old root is detached.
    DetachOldRoot "detach-old-root",
    /// Init: the working directory is the new root, and getcwd says so.
    WorkingDirectory "working-directory",
    /// Init: nothing but the plan's mounts is left.
    Isolation "isolation",
    /// Init: waits for the second half of the plan.
    Park "park",
    /// Init: the scheduling of an ordinary process, whatever the daemon has.
    InitScheduler "init-scheduler",
    /// Init: joins its cgroups of version 1.
    Cgroup "cgroup",
    /// Init: the cgroup namespace is made.
    CgroupNamespace "cgroup-namespace",
    /// Init: the payload is forked.
    Fork "fork",
    /// Init: gives up everything it does not need to reap and report.
    DropInit "drop-init",
    /// Payload: a session and process group of its own.
    PayloadSession "payload-session",
    /// Payload: default signal dispositions, empty mask.
    Signals "signals",
    /// Payload: the umask a program expects.
    PayloadUmask "payload-umask",
    /// Payload: the descriptors it was promised, at the numbers it was promised.
    PayloadDescriptors "payload-descriptors",
    /// Payload: the scheduling policy, if the plan has one.
    Scheduler "scheduler",
    /// Payload: a resource limit; the detail is its name.
    Rlimit "rlimit",
    /// Payload: the user namespace is entered.
    EnterUserNamespace "enter-user-namespace",
    /// Payload: supplementary groups, read back.
    Groups "groups",
    /// Payload: group id, read back.
    Gid "gid",
    /// Payload: user id, read back.
    Uid "uid",
    /// Payload: the SELinux label of the program, read back.
    SelinuxExec "selinux-exec",
    /// Payload: the five capability sets, read back.
    Capabilities "capabilities",
    /// Payload: listens on its sockets; the detail is the descriptor.
    Listen "listen",
    /// Payload: everything but the promised descriptors closes on execve.
    CloseRange "close-range",
    /// Payload: no program it executes can gain privileges.
    NoNewPrivileges "no-new-privileges",
    /// Payload: waits until init has given up everything.
    AwaitInit "await-init",
    /// Payload: the seccomp programs.
    Seccomp "seccomp",
    /// Payload: the program is executed.
    Execve "execve",
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A step that failed, as it travels from init or forker to the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepError {
    /// The step.
    pub step: Step,
    /// The number from errno(3).
    pub errno: i32,
    /// Which one of several, for example the mount point; may be empty.
    pub detail: String,
}

impl StepError {
    /// Longest detail in bytes; more is cut off.
    pub const MAX_DETAIL: usize = 1024;

    /// A failed step. `detail` is cut at [`StepError::MAX_DETAIL`].
    pub fn new(step: Step, errno: i32, detail: impl Into<String>) -> StepError {
        let mut detail = detail.into();
        if detail.len() > StepError::MAX_DETAIL {
            let boundary = |at: &usize| detail.is_char_boundary(*at);
            let end = (0..=StepError::MAX_DETAIL).rev().find(boundary);
            detail.truncate(end.unwrap_or(0));
        }
        StepError {
            step,
            errno,
            detail,
        }
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.step)?;
        if !self.detail.is_empty() {
            write!(formatter, " {}", self.detail)?;
        }
        write!(formatter, ": {}", io::Error::from_raw_os_error(self.errno))
    }
}

impl std::error::Error for StepError {}

/// The errno of a failure, whichever library reports it.
pub(crate) trait Errno {
    /// The number from errno(3).
    fn errno(&self) -> i32;
}

impl Errno for northstar_sys::Error {
    fn errno(&self) -> i32 {
        northstar_sys::Error::errno(self)
    }
}

impl Errno for rustix::io::Errno {
    fn errno(&self) -> i32 {
        self.raw_os_error()
    }
}

impl Errno for nix::errno::Errno {
    fn errno(&self) -> i32 {
        *self as i32
    }
}

/// Names the step at which a result failed.
pub(crate) trait At<T> {
    /// `step`, without detail.
    fn at(self, step: Step) -> Result<T, StepError>;
    /// `step`, and which one of several.
    fn at_detail(self, step: Step, detail: impl fmt::Display) -> Result<T, StepError>;
}

impl<T, E: Errno> At<T> for Result<T, E> {
    fn at(self, step: Step) -> Result<T, StepError> {
        self.map_err(|error| StepError::new(step, error.errno(), ""))
    }

    fn at_detail(self, step: Step, detail: impl fmt::Display) -> Result<T, StepError> {
        self.map_err(|error| StepError::new(step, error.errno(), detail.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_distinct() {
        let names = Step::ALL
            .iter()
            .map(|step| step.name())
            .collect::<BTreeSet<_>>();
        assert_eq!(names.len(), Step::ALL.len());
    }

    /// The numbered items of the page are the steps, in the order of the enum.
    #[test]
    fn page_lists_the_same_steps_in_the_same_order() {
        let page = include_str!("../../docs/start.md");
        let item = |line: &'static str| {
            let (number, rest) = line.split_once(". **")?;
            Some((number.parse::<usize>().ok()?, rest.split_once("**: ")?.0))
        };
        let page = page.lines().filter_map(item).collect::<Vec<_>>();
        let code = Step::ALL
            .iter()
            .enumerate()
            .map(|(n, step)| (n + 1, step.name()));
        assert_eq!(page, code.collect::<Vec<_>>());
    }

    #[test]
    fn error_reads_as_a_sentence() {
        let error = StepError::new(Step::Mount, 2, "/data");
        assert_eq!(
            error.to_string(),
            "mount /data: No such file or directory (os error 2)"
        );
        let error = StepError::new(Step::Execve, 13, "");
        assert_eq!(error.to_string(), "execve: Permission denied (os error 13)");
    }

    #[test]
    fn detail_is_cut_between_characters() {
        let error = StepError::new(Step::Mount, 2, "ä".repeat(600));
        assert_eq!(error.detail.len(), StepError::MAX_DETAIL);
        let error = StepError::new(Step::Mount, 2, format!("x{}", "ä".repeat(600)));
        assert_eq!(error.detail.len(), StepError::MAX_DETAIL - 1);
    }
}
