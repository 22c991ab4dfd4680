use super::*;
use northstar_manifest::RlimitValue;
use northstar_sandbox::plan::DescriptorIndex;

const NOFILE: Rlimit = Rlimit {
    kind: RlimitKind::Nofile,
    soft: Some(1024),
    hard: Some(4096),
};

fn manifest() -> Manifest {
    let mut manifest = Manifest::new("a".parse().unwrap(), "1.2.3".parse().unwrap(), 1000, 1001);
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
