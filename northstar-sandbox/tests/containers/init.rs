//! Init: what a container can do to it, and what it has taken along from the daemon.

use std::fs;
use std::path::Path;
use std::process::Command;

use northstar_sandbox::ExitStatus;
use northstar_sandbox::plan::Sched;

use crate::support::*;

pub fn init_is_opaque(world: &World) {
    let script = "for f in fd environ root cwd exe maps; do
            (cat /proc/1/$f || ls /proc/1/$f/ || readlink /proc/1/$f) 2>/dev/null \
                && echo readable $f
        done
        echo done";
    let output = world.shell(script);
    assert_eq!(output, "done\n");
}

/// Init maps libraries of the host. Who may trace it and has CAP_CHECKPOINT_RESTORE would open them, for writing, too.
pub fn libraries_of_init_are_out_of_reach(world: &World) {
    let mut plan = shell(
        "ls /proc/self/map_files | head -c 1 | wc -c; head -c 1 </proc/1/maps | wc -c
         for tree in 1 1/task/1; do
             for file in /proc/$tree/map_files/*; do (: <$file) 2>/dev/null && echo $file; done
         done
         echo done",
    );
    plan.capabilities = capabilities(&[
        "CAP_CHECKPOINT_RESTORE",
        "CAP_DAC_OVERRIDE",
        "CAP_SYS_PTRACE",
    ]);
    // Both are there for who may trace, and yet nothing can be opened.
    let output = world.run(&plan).unwrap().expect_success();
    assert_eq!(output, "1\n1\ndone\n");
}

pub fn init_has_no_privileges(world: &World) {
    let paused = program(&["/bin/probe", "pause"]);
    let mut running = world.arm().go(world, &paused, &[]).unwrap();
    assert_eq!(running.line(), "ready");
    let pid = running.init.pid;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert_eq!(status_value(&status, "Seccomp"), "2");
    assert_eq!(status_value(&status, "Name"), "northstar-init");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status_value(&status, set), "0000000000000000", "{set}");
    }
    assert_eq!(status_value(&status, "NoNewPrivs"), "1");
    // Only the control socket and the signal descriptor beside the three standard streams, which
    // are /dev/null.
    let links = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .map(|entry| {
            fs::read_link(entry.unwrap().path())
                .unwrap()
                .display()
                .to_string()
        });
    let mut links = links.collect::<Vec<_>>();
    links.sort_unstable();
    links.dedup();
    let kinds = links
        .iter()
        .map(|l| l.split(':').next().unwrap().to_owned())
        .collect::<Vec<_>>();
    assert!(kinds.iter().any(|kind| kind == "socket"), "{links:?}");
    assert!(
        links.len() <= 3 && Path::new(&links[0]) == Path::new("/dev/null"),
        "{links:?}"
    );
    // A signal needs the borrowed user: afterwards init is as opaque and as mortal as before.
    running.init.control.signal(0).unwrap();
    running.init.control.signal(9).unwrap();
    assert_eq!(running.finish(world).status, ExitStatus::Signal(9));
}

/// The first instructions of a payload that may trace init find one that has nothing to give, even
/// when the payload takes the only processor away from init as soon as it can.
pub fn init_is_harmless_before_the_first_instruction(world: &World) {
    let mut plan = program(&["/bin/probe", "init"]);
    // Tracing is what makes init's descriptors visible; its directory belongs to root.
    plan.capabilities = capabilities(&["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"]);
    let forker = rustix::process::Pid::from_raw(world.forker().pid());
    let everywhere = rustix::thread::sched_getaffinity(forker).unwrap();
    let first = (0..).find(|cpu| everywhere.is_set(*cpu)).unwrap();
    let mut alone = rustix::thread::CpuSet::new();
    alone.set(first);
    for (sched, cpus) in [
        (None, &everywhere),
        (None, &alone),
        (Some(Sched::Fifo { priority: 90 }), &alone),
    ] {
        plan.sched = sched;
        // Init and payload inherit the processors of the forker.
        rustix::thread::sched_setaffinity(forker, cpus).unwrap();
        let runs = (0..40).map(|_| world.run(&plan)).collect::<Vec<_>>();
        rustix::thread::sched_setaffinity(forker, &everywhere).unwrap();
        for (round, run) in runs.into_iter().enumerate() {
            let seen = run.unwrap().expect_success();
            let case = format!("{sched:?}, round {round}: {seen}");
            assert_eq!(status_value(&seen, "Name"), "northstar-init", "{case}");
            assert_eq!(status_value(&seen, "Seccomp"), "2", "{case}");
            assert_eq!(status_value(&seen, "NoNewPrivs"), "1", "{case}");
            for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
                assert_eq!(status_value(&seen, set), "0000000000000000", "{case}");
            }
            let links = seen.lines().filter_map(|line| line.strip_prefix("link "));
            let links = links.collect::<Vec<_>>();
            assert!(links.contains(&"/dev/null"), "{case}");
            for link in links {
                // What tells init that the payload was executed is a file that nobody can write.
                let file = ["/dev/null", "/2/stat"].contains(&link);
                let handle = ["socket:", "pipe:", "anon_inode:[signalfd]"];
                let handle = handle.iter().any(|kind| link.starts_with(kind));
                assert!(file || handle, "{link} in {case}");
            }
        }
    }
}

/// Who may trace init has it call what it likes. It has no way to get at anything, nor to give the daemon descriptors,
/// which the daemon might have to wait for when it closes them.
pub fn traced_init_has_no_call_to_reach_out(world: &World) {
    let answers = [
        ("sendto", "EBADF"),
        ("read", "EBADF"),
        ("sendmsg", "EPERM"),
        ("sendmmsg", "EPERM"),
        ("openat", "EPERM"),
        ("setns", "EPERM"),
        ("ioctl", "EPERM"),
        ("pidfd_getfd", "EPERM"),
        ("execveat", "EPERM"),
        ("dup", "EPERM"),
        ("splice", "EPERM"),
    ];
    let argv = ["/bin/probe", "hijack"].into_iter();
    let argv = argv.chain(answers.map(|(call, _)| call));
    let mut plan = program(&argv.collect::<Vec<_>>());
    plan.capabilities = capabilities(&["CAP_SYS_PTRACE"]);
    let expected = answers.map(|(call, answer)| format!("{call} {answer}\n"));
    let finished = world.run(&plan).unwrap();
    assert_eq!(finished.expect_success(), expected.concat());
}

/// A daemon that the kernel must not kill for memory has no containers that it must not kill. To be protected takes
/// CAP_SYS_RESOURCE; to be preferred, which stays, does not.
pub fn containers_are_not_protected_from_lack_of_memory(world: &World) {
    let score = |pid: i32| format!("/proc/{pid}/oom_score_adj");
    let forker = score(world.forker().pid());
    let before = fs::read_to_string(&forker).unwrap();
    let may_protect = caps::has_cap(
        None,
        caps::CapSet::Effective,
        caps::Capability::CAP_SYS_RESOURCE,
    );
    let mut cases = vec![("300", "300")];
    if may_protect.unwrap() {
        cases.extend([("-500", "0"), ("-1000", "0")]);
    }
    for (given, expected) in cases {
        fs::write(&forker, given).unwrap();
        let started = world.arm().go(
            world,
            &shell("cat /proc/self/oom_score_adj; exec sleep 60"),
            &[],
        );
        fs::write(&forker, &before).unwrap();
        let mut running = started.unwrap();
        assert_eq!(running.line(), expected, "{given}");
        let init = fs::read_to_string(score(running.init.pid)).unwrap();
        assert_eq!(init.trim(), expected, "{given}");
        running.init.control.signal(9).unwrap();
        assert_eq!(running.finish(world).status, ExitStatus::Signal(9));
    }
}

/// A daemon may have to be served before others; what it starts may not. Neither init nor the payload has its scheduling,
/// and the forker keeps it.
pub fn containers_are_scheduled_as_ordinary_processes(world: &World) {
    let forker = world.forker().pid();
    let run = |command: &[&str]| {
        let status = Command::new(command[0]).args(&command[1..]).status();
        assert!(status.unwrap().success(), "{command:?}");
    };
    // Nice value, real-time priority and policy of proc_pid_stat(5), and the class of the I/O.
    let scheduling = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let after_name = stat.rsplit(')').next().unwrap();
        let fields = after_name.split_whitespace().collect::<Vec<_>>();
        let output = Command::new("ionice")
            .args(["-p", &pid.to_string()])
            .output();
        let class = String::from_utf8(output.unwrap().stdout).unwrap();
        let class = class.split(':').next().unwrap().trim().to_owned();
        ([16, 37, 38].map(|n| fields[n].to_owned()), class)
    };
    let ordinary = (["0", "0", "0"].map(str::to_owned), "none".to_owned());
    let pid = forker.to_string();
    let undo: [&[&str]; 3] = [
        &["chrt", "--other", "--pid", "0", &pid],
        &["renice", "-n", "0", "-p", &pid],
        &["ionice", "-c", "0", "-p", &pid],
    ];
    let cases: [&[&str]; 6] = [
        &["renice", "-n", "-7", "-p", &pid],
        &["renice", "-n", "7", "-p", &pid],
        &["chrt", "--fifo", "--pid", "3", &pid],
        &["chrt", "--batch", "--pid", "0", &pid],
        &["ionice", "-c", "1", "-n", "2", "-p", &pid],
        &["ionice", "-c", "3", "-p", &pid],
    ];
    // These tests may be run with a nice value of their own.
    undo.iter().for_each(|command| run(command));
    assert_eq!(scheduling(forker), ordinary);
    for case in cases {
        run(case);
        let raised = scheduling(forker);
        assert_ne!(raised, ordinary, "{case:?}");
        let started = world
            .arm()
            .go(world, &shell("echo ready; exec sleep 60"), &[]);
        assert_eq!(scheduling(forker), raised, "{case:?}");
        undo.iter().for_each(|command| run(command));
        let mut running = started.unwrap();
        assert_eq!(running.line(), "ready", "{case:?}");
        let init = running.init.pid;
        let children = fs::read_to_string(format!("/proc/{init}/task/{init}/children")).unwrap();
        let payload = children.trim().parse().unwrap();
        for pid in [init, payload] {
            assert_eq!(scheduling(pid), ordinary, "{case:?}");
        }
        running.init.control.signal(9).unwrap();
        assert_eq!(running.finish(world).status, ExitStatus::Signal(9));
    }
}
