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
mod tests {
    use super::*;
    use northstar_manifest::RlimitValue;
    use northstar_sandbox::plan::DescriptorIndex;

    const NOFILE: Rlimit = Rlimit {
        kind: RlimitKind::Nofile,
        soft: Some(1024),
        hard: Some(4096),
    };

    fn manifest() -> Manifest {
        let mut manifest =
            Manifest::new("a".parse().unwrap(), "1.2.3".parse().unwrap(), 1000, 1001);
        manifest.init = Some("/bin/a".to_owned());
        manifest.args = vec!["one".to_owned(), "two".to_owned()];
        manifest
            .env
            .insert("KEPT".to_owned(), "manifest".to_owned());
        manifest
            .env
            .insert("CHANGED".to_owned(), "manifest".to_owned());
        manifest
    }

    fn plan(manifest: &Manifest, overrides: StartOverrides, gifts: Gifts) -> ExecPlan {
        exec_plan(
            &manifest.container(),
            manifest,
            overrides,
            vec![7],
            NOFILE,
            Vec::new(),
            gifts,
        )
        .unwrap()
        .0
    }

    fn variable(plan: &ExecPlan, name: &str) -> Option<String> {
        let mut found = plan.env.iter().filter(|(variable, _)| variable == name);
        let value = found.next().map(|(_, value)| value.clone());
        assert_eq!(found.next(), None, "{name} is there twice");
        value
    }

    #[test]
    fn container_learns_who_it_is() {
        let plan = plan(&manifest(), StartOverrides::default(), Gifts::default());
        assert_eq!(variable(&plan, "NORTHSTAR_NAME").as_deref(), Some("a"));
        assert_eq!(
            variable(&plan, "NORTHSTAR_VERSION").as_deref(),
            Some("1.2.3")
        );
        assert_eq!(
            variable(&plan, "NORTHSTAR_CONTAINER").as_deref(),
            Some("a:1.2.3")
        );
        assert_eq!(variable(&plan, "NORTHSTAR_CONSOLE"), None);
        assert_eq!((plan.uid, plan.gid, plan.groups), (1000, 1001, vec![7]));
        assert_eq!(plan.argv, ["/bin/a", "one", "two"]);
    }

    #[test]
    fn arguments_replace_and_environment_merges() {
        let overrides = StartOverrides {
            init: None,
            arguments: vec!["three".to_owned()],
            environment: BTreeMap::from([("CHANGED".to_owned(), "start".to_owned())]),
        };
        let plan = plan(&manifest(), overrides, Gifts::default());
        assert_eq!(plan.argv, ["/bin/a", "three"]);
        assert_eq!(variable(&plan, "KEPT").as_deref(), Some("manifest"));
        assert_eq!(variable(&plan, "CHANGED").as_deref(), Some("start"));
    }

    #[test]
    fn init_replaces_and_may_name_the_manifests() {
        let with = |init: &str| {
            let overrides = StartOverrides {
                init: Some(init.to_owned()),
                ..Default::default()
            };
            let plan = plan(&manifest(), overrides, Gifts::default());
            (plan.init, plan.argv)
        };
        let (init, argv) = with("/bin/b");
        assert_eq!(init.to_str(), Some("/bin/b"));
        assert_eq!(argv, ["/bin/b", "one", "two"]);
        assert_eq!(with("/alt<INIT>").0.to_str(), Some("/alt/bin/a"));
    }

    #[test]
    fn descriptors_have_the_numbers_that_the_environment_says() {
        let null = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let gifts = Gifts {
            stdout: Some(null()),
            stderr: None,
            console: Some(null()),
            sockets: BTreeMap::from([("x".to_owned(), null()), ("y".to_owned(), null())]),
        };
        let plan = plan(&manifest(), StartOverrides::default(), gifts);
        assert_eq!(variable(&plan, "NORTHSTAR_CONSOLE").as_deref(), Some("3"));
        assert_eq!(variable(&plan, "NORTHSTAR_SOCKET_x").as_deref(), Some("4"));
        assert_eq!(variable(&plan, "NORTHSTAR_SOCKET_y").as_deref(), Some("5"));
        let index = DescriptorIndex;
        assert_eq!(
            plan.descriptors,
            [(index(0), 1), (index(1), 3), (index(2), 4), (index(3), 5)]
        );
    }

    #[test]
    fn what_is_not_named_is_as_the_daemon_was_started_but_for_rights() {
        let plan = |manifest| plan(&manifest, StartOverrides::default(), Gifts::default()).rlimits;
        let nothing = |kind| Rlimit {
            kind,
            soft: Some(0),
            hard: Some(0),
        };
        let rights = [nothing(RlimitKind::Nice), nothing(RlimitKind::Rtprio)];
        assert_eq!(plan(manifest()), [NOFILE, rights[0], rights[1]]);
        let mut own = manifest();
        let value = RlimitValue {
            soft: Some(10),
            hard: None,
        };
        own.rlimits
            .insert(northstar_manifest::RlimitKind::Nofile, value);
        let own_limit = Rlimit {
            kind: RlimitKind::Nofile,
            soft: Some(10),
            hard: None,
        };
        assert_eq!(plan(own), [own_limit, rights[0], rights[1]]);
    }

    #[test]
    fn every_limit_is_the_one_that_is_meant() {
        let mut manifest = manifest();
        let mut expected = Vec::new();
        for (number, kind) in (1..).zip(northstar_manifest::RlimitKind::ALL.iter().copied()) {
            let (soft, hard) = (Some(number), Some(number + 100));
            manifest.rlimits.insert(kind, RlimitValue { soft, hard });
            expected.push((kind.as_str(), soft, hard));
        }
        assert_eq!(expected.len(), RlimitKind::ALL.len());
        let plan = plan(&manifest, StartOverrides::default(), Gifts::default());
        let limits = plan.rlimits.iter();
        let found = limits.map(|limit| (limit.kind.name(), limit.soft, limit.hard));
        assert!(found.eq(expected));
    }

    #[test]
    fn every_policy_keeps_its_parameters() {
        let deadline = northstar_manifest::Deadline {
            runtime: 1_024,
            deadline: 2_048,
            period: 4_096,
        };
        for (policy, expected) in [
            (Policy::Other { nice: -20 }, Sched::Other { nice: -20 }),
            (Policy::Batch { nice: 19 }, Sched::Batch { nice: 19 }),
            (Policy::Idle, Sched::Idle),
            (Policy::Fifo { priority: 1 }, Sched::Fifo { priority: 1 }),
            (
                Policy::RoundRobin { priority: 99 },
                Sched::RoundRobin { priority: 99 },
            ),
            (
                Policy::Deadline(Some(deadline)),
                Sched::Deadline {
                    runtime: 1_024,
                    deadline: 2_048,
                    period: 4_096,
                },
            ),
        ] {
            let mut manifest = manifest();
            manifest.sched = Some(northstar_manifest::Sched { policy });
            let plan = plan(&manifest, StartOverrides::default(), Gifts::default());
            assert_eq!(plan.sched, Some(expected));
        }
        let plan = plan(&manifest(), StartOverrides::default(), Gifts::default());
        assert_eq!(plan.sched, None);
    }

    #[test]
    fn deadline_without_parameters_is_refused() {
        let mut manifest = manifest();
        manifest.sched = Some(northstar_manifest::Sched {
            policy: Policy::Deadline(None),
        });
        let container = manifest.container();
        let result = exec_plan(
            &container,
            &manifest,
            StartOverrides::default(),
            Vec::new(),
            NOFILE,
            Vec::new(),
            Gifts::default(),
        );
        assert!(matches!(result, Err(Error::DeadlineParameters)));
    }
}
