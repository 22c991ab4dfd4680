//! Packages come and go.

use super::*;

#[test]
fn uninstall_unmounts_first() {
    let mut machine = machine();
    let _mounted = mount(&mut machine, "app:1.0.0");
    settle(&mut machine);
    let answer = uninstall(&mut machine, "app:1.0.0", Wipe::Keep);
    assert!(matches!(&machine.workshop.work[..], [Work::Unmount(_)]));
    complete(&mut machine, 0, true);
    assert!(matches!(&machine.workshop.work[..], [Work::Remove(_)]));
    complete(&mut machine, 0, true);
    now(answer).unwrap();
    assert_eq!(
        machine.workshop.events,
        [
            Event::Mounted(container("app:1.0.0")),
            Event::Unmounted(container("app:1.0.0")),
            Event::Uninstalled(container("app:1.0.0")),
        ]
    );
    assert!(machine.registry.get(&container("app:1.0.0")).is_none());
}

#[test]
fn uninstall_during_a_mount_waits_for_it() {
    let mut machine = machine();
    let mounted = mount(&mut machine, "app:1.0.0");
    let removed = uninstall(&mut machine, "app:1.0.0", Wipe::Keep);
    settle(&mut machine);
    now(mounted).unwrap();
    now(removed).unwrap();
}

#[test]
fn wipe_needs_all_versions_of_the_name_to_rest() {
    let mut machine = machine();
    running(&mut machine, "app:1.0.0");
    let busy = Error::UmountBusy {
        container: container("app:1.0.0"),
    };
    denied(uninstall(&mut machine, "app:2.0.0", Wipe::Remove), busy);
    let kept = uninstall(&mut machine, "app:2.0.0", Wipe::Keep);
    settle(&mut machine);
    now(kept).unwrap();
}

#[test]
fn wipe_that_fails_still_uninstalls() {
    let mut machine = machine();
    let answer = uninstall(&mut machine, "app:1.0.0", Wipe::Remove);
    complete(&mut machine, 0, false);
    assert!(matches!(now(answer), Err(Error::Wipe { .. })));
    assert!(machine.registry.get(&container("app:1.0.0")).is_none());
}

#[test]
fn install_of_an_installed_container_is_a_duplicate() {
    let mut machine = machine();
    let mut answer = commit(&mut machine, "app:1.0.0");
    assert!(matches!(
        answer.try_recv().unwrap(),
        Err(Error::InstallDuplicate { container: found }) if found == container("app:1.0.0")
    ));
}

#[test]
fn two_installs_of_one_container_leave_one_winner() {
    let mut machine = machine();
    let mut first = commit(&mut machine, "new:1.0.0");
    let mut second = commit(&mut machine, "new:1.0.0");
    settle(&mut machine);
    assert_eq!(first.try_recv().unwrap().unwrap(), container("new:1.0.0"));
    assert!(matches!(
        second.try_recv().unwrap(),
        Err(Error::InstallDuplicate { .. })
    ));
    assert_eq!(
        machine.workshop.events,
        [Event::Installed(container("new:1.0.0"))]
    );
}

#[test]
fn install_during_uninstall_follows_it() {
    let mut machine = machine();
    let removed = uninstall(&mut machine, "app:1.0.0", Wipe::Keep);
    let mut installed = commit(&mut machine, "app:1.0.0");
    settle(&mut machine);
    now(removed).unwrap();
    installed.try_recv().unwrap().unwrap();
    assert!(machine.registry.get(&container("app:1.0.0")).is_some());
}
