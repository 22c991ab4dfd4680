//! How groups come and go.

use super::*;

#[test]
fn a_group_with_processes_is_reported_in_time() {
    for (name, hierarchy) in [("busy-v1", v1()), ("busy-hybrid", hybrid())] {
        let top = top(&hierarchy, name);
        let busy = group(&hierarchy, &top, &CgroupPlan::default());
        let shell = Shell::new("");
        busy.add(shell.pid()).unwrap();

        match create(
            &hierarchy,
            &top.path().join("container"),
            &CgroupPlan::default(),
        ) {
            Err(CgroupError::InUse { pids, .. }) => assert_eq!(pids, [shell.pid()]),
            other => panic!("{other:?}"),
        }

        let started = Instant::now();
        let deadline = Duration::from_millis(200);
        match busy.destroy_within(deadline) {
            Err(CgroupError::Busy { pids, waited, .. }) => {
                assert_eq!((pids, waited), (vec![shell.pid()], deadline));
            }
            other => panic!("{other:?}"),
        }
        assert!(started.elapsed() < Duration::from_secs(5));
        // What destroy could not remove is cleared away with its processes.
        top.clear().unwrap();
        assert_eq!(
            left_over(&format!("{}/container", top.path().display())),
            Vec::<PathBuf>::new()
        );
        top.remove().unwrap();
    }
}

#[test]
fn a_frozen_group_is_killed() {
    let hierarchy = v1();
    let top = top(&hierarchy, "frozen");
    let group = group(&hierarchy, &top, &CgroupPlan::default());
    let shell = Shell::new("");
    group.add(shell.pid()).unwrap();
    fs::write(file("freezer", &top, "freezer.state"), "FROZEN").unwrap();
    eventually("frozen", || {
        content("freezer", &top, "freezer.state") == "FROZEN"
    });
    end(group, top);
}

#[test]
fn an_empty_group_that_was_left_is_replaced() {
    let hierarchy = hybrid();
    let top = top(&hierarchy, "stale");
    let plan = CgroupPlan {
        pids: Some(3),
        ..CgroupPlan::default()
    };
    let shell = Shell::new("");
    let left = group(&hierarchy, &top, &plan);
    left.add(shell.pid()).unwrap();
    // It is not empty yet.
    drop(left);
    drop(shell);
    assert_eq!(content("pids", &top, "pids.max"), "3");
    let group = group(&hierarchy, &top, &CgroupPlan::default());
    assert_eq!(content("pids", &top, "pids.max"), "1024");
    end(group, top);
}

#[test]
fn an_empty_group_of_the_operator_is_neither_replaced_nor_removed() {
    let hierarchy = hybrid();
    let top = top(&hierarchy, "operator");
    let operators = file("pids", &top, "");
    fs::create_dir(&operators).unwrap();
    fs::write(operators.join("pids.max"), "3").unwrap();
    let path = top.path().join("container");
    match create(&hierarchy, &path, &CgroupPlan::default()) {
        Err(CgroupError::Foreign { path }) => assert_eq!(path, operators),
        other => panic!("{other:?}"),
    }
    assert_eq!(content("pids", &top, "pids.max"), "3");
    assert_eq!(
        left_over(&path.display().to_string()),
        [operators.components().as_path()]
    );
    fs::remove_dir(operators).unwrap();
    top.remove().unwrap();
}

#[test]
fn a_parent_stays_as_long_as_a_container_needs_it() {
    let hierarchy = hybrid();
    let top = top(&hierarchy, "parents");
    let parent = top.path().join("parent");
    let made = |name: &str| create(&hierarchy, &parent.join(name), &CgroupPlan::default()).unwrap();
    let (first, second) = (made("first"), made("second"));
    first.destroy().unwrap();
    let name = parent.display().to_string();
    assert!(!left_over(&name).is_empty());
    second.destroy().unwrap();
    assert_eq!(left_over(&name), Vec::<PathBuf>::new());
    top.remove().unwrap();
}

#[test]
fn only_groups_below_the_own_one_are_removed() {
    let hierarchy = hybrid();
    let top = top(&hierarchy, "tree");
    let own = top.path().to_owned();
    let beside = PathBuf::from(format!("{}-beside", own.display()));
    for path in [
        own.clone(),
        beside,
        PathBuf::from("/"),
        own.join(".."),
        own.join("../memory"),
    ] {
        match remove_tree(&hierarchy, &own, &path) {
            Err(CgroupError::Path { .. }) => {}
            other => panic!("{path:?}: {other:?}"),
        }
    }
    remove_tree(&hierarchy, &own, &own.join("absent")).unwrap();

    let nested = create(&hierarchy, &own.join("a/b"), &CgroupPlan::default()).unwrap();
    let shell = Shell::new("");
    nested.add(shell.pid()).unwrap();
    remove_tree(&hierarchy, &own, &own.join("a")).unwrap();
    assert_eq!(
        left_over(&format!("{}/a", own.display())),
        Vec::<PathBuf>::new()
    );
    drop(nested);
    let name = own.display().to_string();
    top.remove().unwrap();
    assert_eq!(left_over(&name), Vec::<PathBuf>::new());
}
