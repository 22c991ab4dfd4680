//! Runs in the payload, after fork and until execve: one thread. Everything that takes memory in
//! earnest, arguments, environment and filters, is built by [`Payload::prepare`] before the fork.
//!
//! The order is the argument: what needs privileges comes first, what takes them away comes last,
//! seccomp right before execve. Before that the payload waits until init has given up its own.

pub(crate) mod capabilities;
mod exec;
mod gate;
mod identity;
mod limits;
mod listening;
mod outcome;
mod refused;

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use northstar_sys::exec::Program;
use northstar_sys::seccomp::Instruction;
use northstar_sys::{fd, process, signal};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

pub(crate) use gate::{Gate, gate};
use listening::Listening;
pub(crate) use outcome::{Outcome, wait_for_exec};

use crate::plan::ExecPlan;
use crate::step::{At, Step, StepError};

/// The payload between fork and execve.
pub(crate) struct Payload {
    plan: ExecPlan,
    program: Program,
    filters: Vec<Vec<Instruction>>,
    descriptors: Vec<OwnedFd>,
}

impl Payload {
    /// Builds what execve(2) and seccomp(2) take. Strings with a NUL byte are refused.
    pub(crate) fn prepare(plan: ExecPlan, descriptors: Vec<OwnedFd>) -> Result<Payload, StepError> {
        let string = |bytes: &[u8]| {
            CString::new(bytes)
                .map_err(|_| Errno::INVAL)
                .at_detail(Step::Plan, "NUL byte")
        };
        let path = string(plan.init.as_os_str().as_bytes())?;
        let argv = plan.argv.iter().map(|argument| string(argument.as_bytes()));
        let argv = argv.collect::<Result<_, _>>()?;
        let variable = |(name, value): &(String, String)| {
            if name.is_empty() || name.contains('=') {
                return Err(Errno::INVAL).at_detail(Step::Plan, format!("variable {name:?}"));
            }
            string(format!("{name}={value}").as_bytes())
        };
        let environment = plan.env.iter().map(variable).collect::<Result<_, _>>()?;
        let filters = plan.seccomp.iter();
        let filters = filters.map(|program| program.iter().copied().map(Into::into).collect());
        Ok(Payload {
            filters: std::iter::once(refused::filter(plan.capabilities))
                .chain(filters)
                .collect(),
            program: Program::new(path, argv, environment),
            plan,
            descriptors,
        })
    }

    pub(crate) fn plan(&self) -> &ExecPlan {
        &self.plan
    }

    /// Becomes the program. A failure is written to `report`, a close-on-exec pipe; `procfs` is
    /// init's own handle; `user` is the user namespace to enter; `gate` opens when init has nothing
    /// left to take from it.
    pub(crate) fn run(
        self,
        report: OwnedFd,
        procfs: OwnedFd,
        user: Option<OwnedFd>,
        gate: Gate,
    ) -> ! {
        let targets = self
            .plan
            .descriptors
            .iter()
            .map(|(_, target)| raw(*target))
            .max();
        let above = targets.unwrap_or(2).max(2).saturating_add(1);
        let report = match fd::lift(report, above) {
            Ok(report) => report,
            // Nobody can be told; the closing pipe says that there was no execve.
            Err(_) => process::exit(EXIT_UNREPORTED),
        };
        let user = user.map(|user| fd::lift(user, above)).transpose();
        let program = match (gate.lift(above), user) {
            (Ok(gate), Ok(user)) => self.become_program(&report, procfs, user, gate, above),
            (Err(error), _) => Err(error).at(Step::AwaitInit),
            (_, Err(error)) => Err(error).at(Step::EnterUserNamespace),
        };
        match program {
            Ok(never) => match never {},
            Err(error) => {
                outcome::write_failed(&report, &error);
                process::exit(EXIT_FAILED)
            }
        }
    }

    fn become_program(
        self,
        report: &OwnedFd,
        procfs: OwnedFd,
        user: Option<OwnedFd>,
        gate: Gate,
        above: RawFd,
    ) -> Result<Infallible, StepError> {
        let Payload {
            plan,
            program,
            filters,
            descriptors,
        } = self;

        // Session: a group of its own, so that a signal for the payload reaches what it forks and
        // never init. Without a terminal to lose, before anything can be signalled.
        rustix::process::setsid().at(Step::PayloadSession)?;

        // Signals: init blocks SIGCHLD and the forker ignores some; a program starts with neither.
        signal::reset().at(Step::Signals)?;

        // Umask: init's is too strict for a program.
        rustix::process::umask(Mode::from_raw_mode(0o022));

        // The label file is opened here, as root and before a limit on descriptors, and written
        // when the user is final.
        let label = match &plan.selinux_exec {
            Some(_) => Some(open_label(&procfs, above)?),
            None => None,
        };
        drop(procfs);

        // Descriptors: before the limits, which may be lower than the numbers promised.
        let (targets, listening) = place_descriptors(&plan, descriptors, above)?;

        // Scheduler and limits: while the privileges to set them are there, and in this order,
        // because a limit may take away the right to a policy.
        limits::apply_sched(plan.sched)?;
        limits::apply_rlimits(&plan.rlimits)?;

        // User namespace: after the last thing that takes privileges outside of it, and before the
        // ids, which are those inside.
        if let Some(user) = user {
            let kind = nix::sched::CloneFlags::CLONE_NEWUSER;
            nix::sched::setns(user, kind).at(Step::EnterUserNamespace)?;
        }

        // Groups, group, user: in this order, because the first two need the user to be root.
        identity::set_groups(&plan.groups)?;
        identity::set_gid(plan.gid)?;
        identity::set_uid(plan.uid)?;

        // SELinux: after the user, because the label belongs to what the program will be.
        if let (Some(context), Some(label)) = (&plan.selinux_exec, label) {
            exec::set_label(&label, context)?;
        }

        // Capabilities: after the last step that needs one.
        capabilities::set(plan.capabilities)?;

        // Listen: after the last step that makes this process who the program will be.
        listening.into_iter().try_for_each(Listening::take_over)?;

        // Close range: after the last descriptor was opened.
        exec::close_on_exec(&targets)?;

        // No new privileges: required by seccomp without CAP_SYS_ADMIN, and wanted anyway.
        rustix::thread::set_no_new_privs(true).at(Step::NoNewPrivileges)?;

        // Await init: the last moment before a filter might forbid to wait, because from execve on
        // this process does what somebody else wants.
        gate.wait()?;

        // Seccomp and execve: no program has to allow anything above, only
        // `SYSCALLS_AFTER_FILTER`. No memory is taken or given back from here on.
        Err(exec::filter_and_execute(&filters, &program, report))
    }
}

/// Exit codes nobody sees but a reader of process accounting.
const EXIT_FAILED: i32 = 126;
const EXIT_UNREPORTED: i32 = 125;

fn raw(target: u32) -> RawFd {
    RawFd::try_from(target).unwrap_or(RawFd::MAX)
}

/// Opens the payload's own label through init's procfs: inside the container `/proc` may be
/// anything.
fn open_label(procfs: &OwnedFd, above: RawFd) -> Result<OwnedFd, StepError> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH;
    let label = rustix::fs::openat2(procfs, "self/attr/exec", flags, Mode::empty(), resolve)
        .at(Step::SelinuxExec)?;
    fd::lift(label, above).at(Step::SelinuxExec)
}

/// Puts the promised descriptors at their numbers, which are returned, with handles from `above` on of those to listen on.
fn place_descriptors(
    plan: &ExecPlan,
    descriptors: Vec<OwnedFd>,
    above: RawFd,
) -> Result<(Vec<RawFd>, Vec<Listening>), StepError> {
    let mut placements = Vec::with_capacity(plan.descriptors.len().saturating_add(3));
    let mut listening = Vec::new();
    for (index, target) in &plan.descriptors {
        let descriptor = descriptors
            .get(usize::from(index.0))
            .ok_or(Errno::BADF)
            .at_detail(Step::PayloadDescriptors, index.0)?;
        listening.extend(Listening::of(descriptor, *target, above)?);
        let duplicate = rustix::io::fcntl_dupfd_cloexec(descriptor, 3)
            .at_detail(Step::PayloadDescriptors, target)?;
        placements.push((duplicate, raw(*target)));
    }
    // Duplicates are what is promised; the originals would sit on the numbers.
    drop(descriptors);
    let targets = placements.iter().map(|(_, target)| *target).collect();
    // Standard streams that are not listed stay what init has there: `/dev/null`.
    fd::place(placements).at(Step::PayloadDescriptors)?;
    Ok((targets, listening))
}
