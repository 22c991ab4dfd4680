//! How long a start takes. A bound that only a mistake exceeds; the numbers are printed.

use std::time::{Duration, Instant};

use crate::support::*;

const ROUNDS: usize = 200;

/// Far above what any machine needs, far below what a stray timeout costs.
const BOUND: Duration = Duration::from_secs(1);

pub fn start_is_fast(world: &World) {
    let plan = program(&["/bin/probe"]);
    let arm = world.arm_plan();
    let (mut arms, mut goes, mut both) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let armed = world.try_arm(&arm, &[]).unwrap();
        let parked = Instant::now();
        let running = armed.go(world, &plan, &[]).unwrap();
        let executed = Instant::now();
        arms.push(parked - start);
        goes.push(executed - parked);
        both.push(executed - start);
        running.finish(world).expect_success();
    }
    for (what, times) in [
        ("arm", &mut arms),
        ("go", &mut goes),
        ("arm and go", &mut both),
    ] {
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100];
        println!(
            "{what}: median {:?}, p10 {:?}, p90 {:?}",
            at(50),
            at(10),
            at(90)
        );
    }
    assert!(both[ROUNDS / 2] < BOUND, "{:?}", both[ROUNDS / 2]);
}
