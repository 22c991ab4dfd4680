//! Containers on the real kernel: run as root, no device mapper needed.
//!
//! Has a `main` of its own because the forker must be forked while the process has one thread,
//! which the usual test harness never has. It takes the arguments of the usual one that select
//! tests (substrings of names, `--exact`, `--list`) and ends with the same line.

// The relaxations of clippy.toml for tests apply to code under #[cfg(test)] and #[test] alone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod cgroups;
mod confinement;
mod failing;
mod faults;
mod file_systems;
mod init;
mod isolation;
mod latency;
mod mounts;
mod process;
mod support;
mod user;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use support::World;

/// A test and its name.
type Test = (&'static str, fn(&World));

/// Names functions and their tests in one go.
macro_rules! tests {
    ($($module:ident: $($name:ident)*;)*) => {
        const TESTS: &[Test] = &[
            $($((concat!(stringify!($module), "::", stringify!($name)), $module::$name),)*)*
        ];
    };
}

tests! {
    process:
        exit_code_is_reported
        death_by_signal_is_reported
        environment_and_arguments_arrive_as_planned
        missing_program_fails_at_execve
        directory_as_program_fails_at_execve
        identity_is_as_planned
        user_and_group_zero_are_refused
        descriptors_are_exactly_those_planned
        descriptors_swap_without_collision
        signals_and_umask_are_default
        orphans_are_reaped
        signal_reaches_the_group_of_the_payload
        signal_reaches_a_payload_that_changed_its_user;
    confinement:
        capability_sets_are_empty
        capability_sets_are_exact
        file_capability_gains_nothing
        rlimits_are_as_planned
        tiny_limits_do_not_get_in_the_way_of_the_start
        impossible_rlimit_fails_at_its_name
        scheduling_policy_is_as_planned
        impossible_schedule_fails
        seccomp_program_is_installed_last
        seccomp_program_that_forbids_execve_fails_the_start;
    isolation:
        namespaces_differ_from_the_host
        host_network_is_shared_only_when_asked_for
        network_namespace_is_joined
        hostname_is_set
        chroot_escape_does_not_reach_the_host
        null_device_is_not_the_hosts
        null_device_is_no_other_containers
        session_keyring_is_new
        files_cannot_be_opened_by_their_number
        descriptors_of_other_processes_cannot_be_taken
        peers_of_sockets_are_out_of_reach
        leaked_descriptors_do_not_arrive;
    init:
        init_is_opaque
        libraries_of_init_are_out_of_reach
        init_has_no_privileges
        init_is_harmless_before_the_first_instruction
        traced_init_has_no_call_to_reach_out
        containers_are_not_protected_from_lack_of_memory
        containers_are_scheduled_as_ordinary_processes;
    mounts:
        flags_are_exact_in_every_combination
        missing_target_fails_with_its_path
        final_link_as_target_is_refused
        link_out_of_the_root_stays_inside
        second_mount_on_one_place_is_refused
        mount_points_are_created_in_fresh_file_systems_only
        fresh_file_system_ends_at_what_is_attached_inside
        recursive_bind_brings_submounts_under_its_flags
        shared_source_becomes_private;
    file_systems:
        image_device_nodes_cannot_be_opened
        dev_is_our_own
        proc_is_masked_and_read_only
        sysfs_is_masked_and_read_only
        mask_can_be_for_every_name
        tmpfs_is_as_planned
        files_without_content_are_limited
        terminals_are_limited
        image_proc_cannot_redirect_the_label;
    cgroups:
        init_and_payload_are_in_their_group
        limits_hold_for_the_first_instruction
        group_that_cannot_be_entered_stops_the_start;
    user:
        ids_are_as_planned_inside_and_of_the_range_outside
        signal_reaches_a_payload_that_may_change_its_user
        files_have_the_ids_of_inside
        mapped_mounts_say_so
        capabilities_reach_what_is_the_containers_own
        capability_sets_are_exact
        file_system_that_cannot_be_mapped_stops_the_start
        ids_beyond_the_range_stop_the_start
        network_can_be_joined
        limits_are_those_of_the_plan_alone;
    faults:
        garbage_ends_one_init_only
        init_that_the_daemon_has_no_descriptor_for_fails_alone
        init_that_the_forker_has_no_descriptors_for_fails_alone
        stopped_init_is_killed_by_its_pidfd
        init_killed_while_parked_is_reported
        closed_control_ends_the_container
        dead_forker_takes_its_inits_along
        dropped_forker_takes_its_inits_along
        forker_survives_terminal_signals
        forker_survives_garbage_plans
        process_with_threads_gets_no_forker
        init_that_dies_or_hangs_at_any_moment_is_reported
        used_id_is_refused
        hundred_starts_leave_nothing;
    failing:
        every_failing_call_stops_the_start;
    latency:
        start_is_fast;
}

fn main() {
    // Sub-programs of tests that need a process of their own.
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    match arguments.as_slice() {
        [word, rest @ ..] if word == "--daemon" => faults::be_a_daemon(rest),
        [word, number, root] if word == "--failing" => failing::be_a_daemon(number, root),
        _ => {}
    }
    if arguments.iter().any(|argument| argument == "--list") {
        TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
        return;
    }
    let exact = arguments.iter().any(|argument| argument == "--exact");
    let wanted = arguments
        .iter()
        .filter(|a| !a.starts_with('-'))
        .collect::<Vec<_>>();
    let matches = |name: &str, wanted: &str| {
        if exact {
            name == wanted
        } else {
            name.contains(wanted)
        }
    };
    let selected = TESTS
        .iter()
        .filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|w| matches(name, w)))
        .collect::<Vec<_>>();

    println!("\nrunning {} tests", selected.len());
    let start = Instant::now();
    let failed = if selected.is_empty() {
        Vec::new()
    } else {
        run(&selected)
    };
    if !failed.is_empty() {
        println!("\nfailures:\n    {}", failed.join("\n    "));
    }
    println!(
        "\ntest result: {}. {} passed; {} failed; 0 ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
        if failed.is_empty() { "ok" } else { "FAILED" },
        selected.len() - failed.len(),
        failed.len(),
        TESTS.len() - selected.len(),
        start.elapsed().as_secs_f32(),
    );
    std::process::exit(if failed.is_empty() { 0 } else { 101 });
}

/// Runs one test after the other; returns the names of those that failed.
fn run(tests: &[&Test]) -> Vec<&'static str> {
    // First, while there is one thread.
    let world = World::new();
    let mut failed = Vec::new();
    for (name, test) in tests {
        let passed = catch_unwind(AssertUnwindSafe(|| test(&world))).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        if !passed {
            failed.push(*name);
        }
    }
    failed
}
