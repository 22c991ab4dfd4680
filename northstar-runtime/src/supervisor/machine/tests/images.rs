//! Images are mounted and unmounted.

use super::*;

#[test]
fn unknown_container_is_invalid_in_every_request() {
    let mut machine = machine();
    let invalid = || Error::InvalidContainer {
        container: container("none:1.0.0"),
    };
    denied(mount(&mut machine, "none:1.0.0"), invalid());
    denied(umount(&mut machine, "none:1.0.0"), invalid());
    denied(start(&mut machine, "none:1.0.0"), invalid());
    denied(kill(&mut machine, "none:1.0.0", 15), invalid());
    denied(uninstall(&mut machine, "none:1.0.0", Wipe::Keep), invalid());
}

#[test]
fn mount_of_a_mounted_container_is_busy() {
    let mut machine = machine();
    let first = mount(&mut machine, "app:1.0.0");
    settle(&mut machine);
    now(first).unwrap();
    let busy = Error::MountBusy {
        container: container("app:1.0.0"),
    };
    denied(mount(&mut machine, "app:1.0.0"), busy);
}

#[test]
fn second_mount_waits_for_the_first_and_is_then_busy() {
    let mut machine = machine();
    let first = mount(&mut machine, "app:1.0.0");
    let mut second = mount(&mut machine, "app:1.0.0");
    assert!(second.try_recv().is_err());
    complete(&mut machine, 0, true);
    now(first).unwrap();
    denied(
        second,
        Error::MountBusy {
            container: container("app:1.0.0"),
        },
    );
}

#[test]
fn second_mount_tries_again_when_the_first_fails() {
    let mut machine = machine();
    let first = mount(&mut machine, "app:1.0.0");
    let second = mount(&mut machine, "app:1.0.0");
    complete(&mut machine, 0, false);
    assert!(matches!(now(first), Err(Error::Mount { .. })));
    complete(&mut machine, 0, true);
    now(second).unwrap();
}

#[test]
fn umount_needs_a_mounted_container() {
    let mut machine = machine();
    let busy = Error::UmountBusy {
        container: container("app:1.0.0"),
    };
    denied(umount(&mut machine, "app:1.0.0"), busy);
}

#[test]
fn umount_of_a_running_container_names_it() {
    let mut machine = machine();
    running(&mut machine, "app:1.0.0");
    let busy = Error::UmountBusy {
        container: container("app:1.0.0"),
    };
    denied(umount(&mut machine, "app:1.0.0"), busy);
}

#[test]
fn umount_of_a_resource_in_use_names_the_user() {
    let mut machine = machine();
    running(&mut machine, "app:1.0.0");
    let busy = || Error::UmountBusy {
        container: container("app:1.0.0"),
    };
    denied(umount(&mut machine, "lib:1.1.0"), busy());
    denied(uninstall(&mut machine, "lib:1.1.0", Wipe::Keep), busy());
}

#[test]
fn umount_that_finds_a_foreign_user_leaves_the_container_mounted() {
    let mut machine = machine();
    let _mounted = mount(&mut machine, "app:1.0.0");
    settle(&mut machine);
    let answer = umount(&mut machine, "app:1.0.0");
    complete(&mut machine, 0, false);
    denied(
        answer,
        Error::UmountBusy {
            container: container("app:1.0.0"),
        },
    );
    denied(
        mount(&mut machine, "app:1.0.0"),
        Error::MountBusy {
            container: container("app:1.0.0"),
        },
    );
}
