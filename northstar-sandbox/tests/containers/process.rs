//! The payload: who it is, what it may do, what it finds, how it ends.

use std::fs::File;
use std::os::fd::AsFd;

use northstar_sandbox::plan::DescriptorIndex;
use northstar_sandbox::{ExitStatus, Step, StepError};

use crate::support::*;

const EACCES: i32 = 13;
const EINVAL: i32 = 22;
const ENOENT: i32 = 2;

pub fn exit_code_is_reported(world: &World) {
    for code in [0, 1, 7, 255] {
        let plan = program(&["/bin/probe", "exit", &code.to_string()]);
        assert_eq!(world.run(&plan).unwrap().status, ExitStatus::Code(code));
    }
}

pub fn death_by_signal_is_reported(world: &World) {
    for signal in [6, 9, 15] {
        let finished = world.run(&shell(&format!("kill -{signal} $$"))).unwrap();
        assert_eq!(finished.status, ExitStatus::Signal(signal));
    }
}

pub fn environment_and_arguments_arrive_as_planned(world: &World) {
    let mut plan = program(&[
        "/bin/sh",
        "-c",
        "echo \"$0\" \"$#\" \"$1\" \"$3\"",
        "zero",
        "a b",
        "",
    ]);
    plan.argv.push("ü".to_owned());
    assert_eq!(world.run(&plan).unwrap().expect_success(), "zero 3 a b ü\n");

    let mut plan = program(&["/bin/env"]);
    plan.env = vec![
        ("A".to_owned(), "1=2".to_owned()),
        ("B".to_owned(), String::new()),
    ];
    assert_eq!(world.run(&plan).unwrap().expect_success(), "A=1=2\nB=\n");
    // What execve cannot carry is refused before anything is forked.
    plan.env = vec![("A=".to_owned(), String::new())];
    assert_eq!(world.run(&plan).unwrap_err().step, Step::Plan);
    plan.env = vec![("A".to_owned(), "\0".to_owned())];
    assert_eq!(world.run(&plan).unwrap_err().step, Step::Plan);
}

pub fn missing_program_fails_at_execve(world: &World) {
    let error = world.run(&program(&["/bin/nothing"])).unwrap_err();
    assert_eq!(error, StepError::new(Step::Execve, ENOENT, "/bin/nothing"));
}

pub fn directory_as_program_fails_at_execve(world: &World) {
    let error = world.run(&program(&["/data"])).unwrap_err();
    assert_eq!(error, StepError::new(Step::Execve, EACCES, "/data"));
}

pub fn identity_is_as_planned(world: &World) {
    let mut plan = shell("cat /proc/self/status");
    plan.groups = vec![4000, 3000, 3000];
    let status = world.run(&plan).unwrap().expect_success();
    let four = |id: u32| {
        [
            id.to_string(),
            id.to_string(),
            id.to_string(),
            id.to_string(),
        ]
        .join("\t")
    };
    assert_eq!(status_value(&status, "Uid"), four(UID));
    assert_eq!(status_value(&status, "Gid"), four(GID));
    let groups = status_value(&status, "Groups")
        .split(' ')
        .collect::<Vec<_>>();
    assert!(
        groups == ["3000", "4000"] || groups == ["3000", "3000", "4000"],
        "{groups:?}"
    );
    assert_eq!(
        status_value(&world.shell("cat /proc/self/status"), "Groups"),
        ""
    );
}

pub fn user_and_group_zero_are_refused(world: &World) {
    let mut plan = program(&["/bin/probe"]);
    plan.uid = 0;
    let error = world.run(&plan).unwrap_err();
    assert_eq!(error, StepError::new(Step::Uid, EINVAL, "0"));
    let mut plan = program(&["/bin/probe"]);
    plan.gid = 0;
    let error = world.run(&plan).unwrap_err();
    assert_eq!(error, StepError::new(Step::Gid, EINVAL, "0"));
}

pub fn descriptors_are_exactly_those_planned(world: &World) {
    // The shell opens the directory it lists: `ls` gets one more, which is the directory itself.
    let list = "for fd in /proc/self/fd/*; do echo ${fd##*/} $(readlink $fd || true); done";
    let output = world.shell(list);
    let numbers = |output: &str| {
        let pairs = output
            .lines()
            .map(|line| line.split_once(' ').unwrap_or((line, "")));
        let real = pairs.filter(|(_, link)| !link.is_empty() && !link.ends_with("/fd"));
        real.map(|(number, _)| number.parse::<u32>().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(numbers(&output), [0, 1, 2], "{output}");
    assert!(output.lines().any(|line| line == "0 /dev/null"), "{output}");

    let null = File::open("/dev/null").unwrap();
    let mut plan = shell(list);
    plan.descriptors
        .extend([(DescriptorIndex(1), 5), (DescriptorIndex(1), 200)]);
    let finished = world
        .arm()
        .go(world, &plan, &[null.as_fd()])
        .unwrap()
        .finish(world);
    let output = finished.expect_success();
    // A glob sorts as text.
    assert_eq!(numbers(&output), [0, 1, 2, 200, 5], "{output}");
}

pub fn descriptors_swap_without_collision(world: &World) {
    let directory = tempfile::tempdir().unwrap();
    let files = ["three", "four"].map(|name| {
        std::fs::write(directory.path().join(name), name).unwrap();
        File::open(directory.path().join(name)).unwrap()
    });
    let mut plan = shell("cat <&3; echo; cat <&4");
    plan.descriptors
        .extend([(DescriptorIndex(2), 4), (DescriptorIndex(1), 3)]);
    let descriptors = [files[0].as_fd(), files[1].as_fd()];
    let finished = world
        .arm()
        .go(world, &plan, &descriptors)
        .unwrap()
        .finish(world);
    assert_eq!(finished.expect_success(), "three\nfour");

    plan.descriptors.push((DescriptorIndex(1), 4));
    let Err(error) = world.arm().go(world, &plan, &descriptors) else {
        panic!("started")
    };
    assert_eq!(
        (error.step, error.errno),
        (Step::PayloadDescriptors, EINVAL)
    );
}

pub fn signals_and_umask_are_default(world: &World) {
    let output = world
        .run(&program(&["/bin/probe", "signals"]))
        .unwrap()
        .expect_success();
    assert_eq!(output, "umask 0022\n");
}

pub fn orphans_are_reaped(world: &World) {
    // The orphans end while the payload lives; each one's entry in /proc goes when it is reaped.
    let script = "
        for i in 1 2 3 4 5; do (sh -c 'exit 3' &) ; done
        n=0
        while [ $n -lt 500 ]; do
            left=''
            for status in /proc/[0-9]*; do
                case ${status#/proc/} in 1|$$|self|thread-self) ;; *)
                    [ -e $status ] && left=\"$left $status\" ;; esac
            done
            [ -z \"$left\" ] && echo reaped && exit 0
            n=$((n+1)); sleep 0.01
        done
        echo \"left: $left\"";
    assert_eq!(world.shell(script), "reaped\n");
}

pub fn signal_reaches_the_group_of_the_payload(world: &World) {
    // The child is of the same group and has the default disposition: it dies with the same
    // signal, and the shell says so.
    let script = "trap 'echo caught; wait; exit 5' USR1
        (trap 'echo child; exit 0' USR1; echo ready; while :; do sleep 0.01 || :; done) &
        while :; do sleep 0.01 || :; done";
    let mut running = world.arm().go(world, &shell(script), &[]).unwrap();
    assert_eq!(running.line(), "ready");
    running.init.control.signal(10).unwrap();
    let finished = running.finish(world);
    let mut lines = finished.output.lines().collect::<Vec<_>>();
    // The signal hits the sleeps, too, which a shell may tell.
    lines.retain(|line| !line.contains("signal"));
    lines.sort_unstable();
    assert_eq!(lines, ["caught", "child"]);
    assert_eq!(finished.status, ExitStatus::Code(5));

    // Real-time signals and repeated ones work, too, and init is none the weaker for it.
    let mut running = world
        .arm()
        .go(world, &program(&["/bin/probe", "pause"]), &[])
        .unwrap();
    assert_eq!(running.line(), "ready");
    for _ in 0..3 {
        running.init.control.signal(0).unwrap();
    }
    running.init.control.signal(40).unwrap();
    assert_eq!(running.finish(world).status, ExitStatus::Signal(40));
}

pub fn signal_reaches_a_payload_that_changed_its_user(world: &World) {
    let mut plan = program(&["/bin/probe", "setuid", "54321"]);
    plan.capabilities = capabilities(&["CAP_SETUID"]);
    let mut running = world.arm().go(world, &plan, &[]).unwrap();
    assert_eq!(running.line(), "changed");
    running.init.control.signal(15).unwrap();
    assert_eq!(running.finish(world).status, ExitStatus::Signal(15));
}
