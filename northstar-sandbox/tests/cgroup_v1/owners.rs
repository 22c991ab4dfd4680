//! The group of all containers and whose it is.

use super::*;

#[test]
fn a_daemon_has_its_group_for_itself() {
    let hierarchy = hybrid();
    let first = top(&hierarchy, "claimed");
    let name = first.path().to_owned();
    let container = group(&hierarchy, &first, &CgroupPlan::default());
    // The same group, one inside it, and another daemon in the same place.
    let other = Hierarchy::detect().unwrap();
    for path in [name.clone(), name.join("inner")] {
        match TopGroup::create(&other, &path) {
            Err(CgroupError::Claimed { path }) => assert!(path.ends_with(&name)),
            found => panic!("{found:?}"),
        }
    }
    match create(&other, &name.join("guest"), &CgroupPlan::default()) {
        Err(CgroupError::Foreign { path }) => assert!(path.ends_with(&name)),
        found => panic!("{found:?}"),
    }
    assert!(container.processes().unwrap().is_empty());
    assert!(file("pids", &first, "pids.max").exists());
    end(container, first);

    // Inside out, and side by side.
    let inner = TopGroup::create(&hierarchy, &name.join("inner")).unwrap();
    match TopGroup::create(&other, &name) {
        Err(CgroupError::Claimed { path }) => assert!(path.ends_with(&name)),
        found => panic!("{found:?}"),
    }
    let beside = TopGroup::create(&other, &name.join("beside")).unwrap();
    inner.remove().unwrap();
    let name = name.display().to_string();
    assert!(!left_over(&format!("{name}/beside")).is_empty());
    beside.remove().unwrap();
    assert_eq!(left_over(&name), Vec::<PathBuf>::new());
}

#[test]
fn the_own_group_stays_when_its_last_container_ends() {
    let hierarchy = hybrid();
    let top = top(&hierarchy, "idle");
    let name = top.path().display().to_string();
    let before = left_over(&name);
    let group = group(&hierarchy, &top, &CgroupPlan::default());
    group.destroy().unwrap();
    assert_eq!(left_over(&name), before);
    top.remove().unwrap();
    assert_eq!(left_over(&name), Vec::<PathBuf>::new());
}

#[test]
fn nobody_without_privileges_can_lock_the_own_group() {
    let hierarchy = hybrid();
    let top = top(&hierarchy, "mode");
    for directory in left_over(&top.path().display().to_string()) {
        let mode = fs::metadata(&directory).unwrap().permissions().mode();
        assert_eq!(mode & 0o044, 0, "{directory:?}");
    }
    top.remove().unwrap();
}

#[test]
fn the_group_of_a_killed_daemon_is_adopted_and_an_operators_is_kept() {
    let hierarchy = hybrid();
    let first = top(&hierarchy, "adopted");
    let path = first.path().to_owned();
    let name = path.display().to_string();
    let groups = left_over(&name);
    for directory in &groups {
        fs::create_dir(directory.join("container")).unwrap();
    }
    // As after a daemon that was killed: the groups stay, the lock does not.
    drop(first);
    assert_eq!(left_over(&name), groups);
    let second = TopGroup::create(&hierarchy, &path).unwrap();
    second.clear().unwrap();
    assert_eq!(
        left_over(&format!("{name}/container")),
        Vec::<PathBuf>::new()
    );
    second.remove().unwrap();
    assert_eq!(left_over(&name), Vec::<PathBuf>::new());

    let operators = Path::new("/sys/fs/cgroup/pids").join(&path);
    fs::create_dir(&operators).unwrap();
    TopGroup::create(&hierarchy, &path)
        .unwrap()
        .remove()
        .unwrap();
    assert_eq!(left_over(&name), std::slice::from_ref(&operators));
    fs::remove_dir(operators).unwrap();
}
