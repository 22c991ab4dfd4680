//! Starts, and what they wait for.

use super::*;

#[test]
fn start_mounts_container_and_newest_resource_only() {
    let mut machine = machine();
    let answer = start(&mut machine, "app:1.0.0");
    let mounts: Vec<_> = machine
        .workshop
        .work
        .iter()
        .map(|work| format!("{work:?}"))
        .collect();
    assert_eq!(mounts.len(), 2);
    settle(&mut machine);
    now(answer).unwrap();
    let is_mounted = |name: &str| {
        matches!(
            machine.registry.get(&container(name)).unwrap().image,
            Image::Mounted(())
        )
    };
    assert!(is_mounted("app:1.0.0") && is_mounted("lib:1.1.0"));
    assert!(!is_mounted("lib:1.0.0") && !is_mounted("app:2.0.0"));
    assert_eq!(
        machine.workshop.events,
        [
            Event::Mounted(container("lib:1.1.0")),
            Event::Mounted(container("app:1.0.0")),
            Event::Started(container("app:1.0.0")),
        ]
    );
}

#[test]
fn start_of_any_version_of_a_running_name_names_the_running_one() {
    let mut machine = machine();
    running(&mut machine, "app:1.0.0");
    for name in ["app:1.0.0", "app:2.0.0"] {
        let started = Error::StartContainerStarted {
            container: container("app:1.0.0"),
        };
        denied(start(&mut machine, name), started);
    }
}

#[test]
fn second_start_waits_for_the_first() {
    let mut machine = machine();
    let first = start(&mut machine, "app:1.0.0");
    let second = start(&mut machine, "app:2.0.0");
    settle(&mut machine);
    now(first).unwrap();
    denied(
        second,
        Error::StartContainerStarted {
            container: container("app:1.0.0"),
        },
    );
}

#[test]
fn second_start_gets_its_turn_when_the_first_fails() {
    let mut machine = machine();
    let first = start(&mut machine, "app:1.0.0");
    let second = start(&mut machine, "app:2.0.0");
    complete(&mut machine, 0, true);
    complete(&mut machine, 0, true);
    complete(&mut machine, 0, false);
    assert!(matches!(
        now(first),
        Err(Error::StartContainerFailed { container: failed, .. }) if failed == container("app:1.0.0")
    ));
    settle(&mut machine);
    now(second).unwrap();
}

#[test]
fn start_of_a_resource_is_refused() {
    let mut machine = machine();
    let resource = Error::StartContainerResource {
        container: container("lib:1.0.0"),
    };
    denied(start(&mut machine, "lib:1.0.0"), resource.clone());
    // A program of the client's makes it none that can be started.
    let overrides = StartOverrides {
        init: Some("/bin/sh".to_owned()),
        ..StartOverrides::default()
    };
    let answer = ask(&mut machine, Job::default(), |reply| {
        Request::Start(container("lib:1.0.0"), overrides, reply)
    });
    denied(answer, resource);
}

#[test]
fn start_without_its_resource_names_it() {
    let mut machine = machine();
    for name in ["lib:1.0.0", "lib:1.1.0"] {
        let removed = uninstall(&mut machine, name, Wipe::Keep);
        settle(&mut machine);
        now(removed).unwrap();
    }
    let missing = Error::StartContainerMissingResource {
        container: container("app:1.0.0"),
        resource: "lib".parse().unwrap(),
        version: northstar_manifest::VersionReq::parse("1").unwrap(),
    };
    denied(start(&mut machine, "app:1.0.0"), missing);
}

#[test]
fn start_fails_when_its_resource_cannot_be_mounted() {
    let mut machine = machine();
    let answer = start(&mut machine, "app:1.0.0");
    let is_resource =
        |work: &Work| matches!(work, Work::Mount(name) if name.name().as_ref() as &str == "lib");
    let index = machine.workshop.work.iter().position(is_resource).unwrap();
    complete(&mut machine, index, false);
    match now(answer) {
        Err(Error::StartContainerFailed { source, .. }) => match &*source {
            launch::Error::Mount { image, .. } => assert_eq!(*image, container("lib:1.1.0")),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
    settle(&mut machine);
    assert!(
        machine
            .registry
            .get(&container("app:1.0.0"))
            .unwrap()
            .run
            .is_idle()
    );
}

#[test]
fn umount_during_a_start_waits_and_finds_it_running() {
    let mut machine = machine();
    let started = start(&mut machine, "app:1.0.0");
    let container_umount = umount(&mut machine, "app:1.0.0");
    let resource_umount = umount(&mut machine, "lib:1.1.0");
    settle(&mut machine);
    now(started).unwrap();
    let busy = || Error::UmountBusy {
        container: container("app:1.0.0"),
    };
    denied(container_umount, busy());
    denied(resource_umount, busy());
}
