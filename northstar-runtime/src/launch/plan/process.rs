//! The process of a container.

use super::Descriptors;
use crate::{launch::Error, selinux, supervisor::StartOverrides};
use northstar_manifest::{Container, Manifest, Policy};
use northstar_sandbox::{
    plan::{CapabilitySet, ExecPlan, Rlimit, RlimitKind, Sched},
    seccomp,
};
use std::{collections::BTreeMap, os::fd::OwnedFd};

/// The first number after the standard streams.
const FIRST_DESCRIPTOR: u32 = 3;
/// What `init` of a start writes for the manifest's.
const INIT_PLACEHOLDER: &str = "<INIT>";

/// Descriptors that the program is given.
#[derive(Debug, Default)]
pub(super) struct Gifts {
    /// Write ends of its outputs; `None` is `/dev/null`.
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
    /// Its end of its console.
    pub(super) console: Option<OwnedFd>,
    /// Its sockets by name.
    pub(super) sockets: BTreeMap<String, OwnedFd>,
}

/// The second half of the plan, and the descriptors it names.
pub(super) fn exec_plan(
    container: &Container,
    manifest: &Manifest,
    overrides: StartOverrides,
    groups: Vec<u32>,
    nofile: Rlimit,
    seccomp: Vec<seccomp::Program>,
    gifts: Gifts,
) -> Result<(ExecPlan, Descriptors), Error> {
    let mut descriptors = Descriptors::default();
    let mut numbers = Vec::new();
    let mut env = manifest.env.clone();
    env.extend(overrides.environment);
    env.insert("NORTHSTAR_NAME".to_owned(), container.name().to_string());
    env.insert(
        "NORTHSTAR_VERSION".to_owned(),
        container.version().to_string(),
    );
    env.insert("NORTHSTAR_CONTAINER".to_owned(), container.to_string());
    for (number, output) in [(1, gifts.stdout), (2, gifts.stderr)] {
        numbers.extend(output.map(|output| (descriptors.add(output), number)));
    }
    let console = gifts
        .console
        .map(|console| ("NORTHSTAR_CONSOLE".to_owned(), console));
    let sockets = gifts.sockets.into_iter();
    let sockets = sockets.map(|(name, socket)| (format!("NORTHSTAR_SOCKET_{name}"), socket));
    for (number, (variable, descriptor)) in
        (FIRST_DESCRIPTOR..).zip(console.into_iter().chain(sockets))
    {
        env.insert(variable, number.to_string());
        numbers.push((descriptors.add(descriptor), number));
    }
    let (init, argv) = command(manifest, overrides.init, overrides.arguments);
    let plan = ExecPlan {
        init: init.into(),
        argv,
        env: env.into_iter().collect(),
        uid: manifest.uid,
        gid: manifest.gid,
        groups,
        capabilities: capabilities(manifest)?,
        rlimits: rlimits(manifest, nofile)?,
        sched: sched(manifest)?,
        seccomp,
        selinux_exec: manifest
            .selinux
            .as_ref()
            .and_then(|labels| selinux::effective(labels.exec.as_ref())),
        descriptors: numbers,
        cgroup_namespace: true,
    };
    Ok((plan, descriptors))
}

fn command(
    manifest: &Manifest,
    init: Option<String>,
    arguments: Vec<String>,
) -> (String, Vec<String>) {
    // Resources, which have no init, are never started.
    let own = manifest.init.as_deref().unwrap_or_default();
    let init = init.map_or_else(
        || own.to_owned(),
        |init| init.replace(INIT_PLACEHOLDER, own),
    );
    let arguments = if arguments.is_empty() {
        manifest.args.clone()
    } else {
        arguments
    };
    let argv = std::iter::once(init.clone()).chain(arguments).collect();
    (init, argv)
}

pub(super) fn capabilities(manifest: &Manifest) -> Result<CapabilitySet, Error> {
    let names = manifest
        .capabilities
        .iter()
        .map(|capability| capability.as_str());
    CapabilitySet::from_names(names).map_err(Error::Capability)
}

/// The manifest's limits. What it does not name is as the daemon has it, except for the number of descriptors, which
/// the daemon has raised for itself, and for rights: nobody may take a better priority who does not have to.
fn rlimits(manifest: &Manifest, nofile: Rlimit) -> Result<Vec<Rlimit>, Error> {
    let limits = manifest.rlimits.iter().map(|(kind, value)| {
        let kind = kind.as_str().parse::<RlimitKind>().map_err(Error::Rlimit)?;
        Ok(Rlimit {
            kind,
            soft: value.soft,
            hard: value.hard,
        })
    });
    let mut limits = limits.collect::<Result<Vec<_>, Error>>()?;
    let no_right = |kind| Rlimit {
        kind,
        soft: Some(0),
        hard: Some(0),
    };
    let unnamed = [
        nofile,
        no_right(RlimitKind::Nice),
        no_right(RlimitKind::Rtprio),
    ];
    for limit in unnamed {
        if limits.iter().all(|named| named.kind != limit.kind) {
            limits.push(limit);
        }
    }
    Ok(limits)
}

fn sched(manifest: &Manifest) -> Result<Option<Sched>, Error> {
    let Some(sched) = &manifest.sched else {
        return Ok(None);
    };
    Ok(Some(match &sched.policy {
        Policy::Other { nice } => Sched::Other {
            nice: i32::from(*nice),
        },
        Policy::Batch { nice } => Sched::Batch {
            nice: i32::from(*nice),
        },
        Policy::Fifo { priority } => Sched::Fifo {
            priority: *priority,
        },
        Policy::RoundRobin { priority } => Sched::RoundRobin {
            priority: *priority,
        },
        Policy::Idle => Sched::Idle,
        Policy::Deadline(Some(deadline)) => Sched::Deadline {
            runtime: deadline.runtime,
            deadline: deadline.deadline,
            period: deadline.period,
        },
        Policy::Deadline(None) => return Err(Error::DeadlineParameters),
    }))
}

#[cfg(test)]
mod tests;
