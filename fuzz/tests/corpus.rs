//! The short run: each target over its seeds, its corpus and a fixed number of changes of them.
//!
//! It is the same on every machine. What libFuzzer found in long runs is in the corpus.

use std::sync::{Mutex, PoisonError};

use northstar_fuzz::mutate::mutate;
use northstar_fuzz::random::Random;
use northstar_fuzz::{Target, targets};

/// Targets count the memory of the whole process, so one runs at a time.
static TURN: Mutex<()> = Mutex::new(());

/// Runs everything there is of `target` once, and `count` changes.
fn exercise(target: &Target, count: usize) {
    let turn = TURN.lock();
    let inputs = [(target.seeds)(), target.corpus()].concat();
    assert!(!inputs.is_empty());
    for input in &inputs {
        (target.run)(input);
    }
    let mut random = Random::new(0x6e6f_7274_6873_7461);
    for _ in 0..count {
        let mut input = random.choose(&inputs).cloned().unwrap_or_default();
        let other = random.choose(&inputs).map_or(&[][..], Vec::as_slice);
        mutate(&mut input, other, target.words, target.limit, &mut random);
        (target.repair)(&mut input, &mut random);
        (target.run)(&input);
    }
    drop(turn.unwrap_or_else(PoisonError::into_inner));
}

#[test]
fn archives() {
    exercise(&targets::archive::TARGET, 20_000);
}

#[test]
fn packages() {
    exercise(&targets::package::TARGET, 2_000);
}

#[test]
fn signatures() {
    exercise(&targets::signature::TARGET, 5_000);
}

#[test]
fn manifests() {
    exercise(&targets::manifest::TARGET, 5_000);
}

#[test]
fn trees() {
    exercise(&targets::tree::TARGET, 2_000);
}

#[test]
fn deep_trees() {
    exercise(&targets::tree::DEEP, 200);
}

#[test]
fn images() {
    exercise(&targets::unpack::TARGET, 1_000);
}

#[test]
fn lines() {
    exercise(&targets::codec::TARGET, 10_000);
}

#[test]
fn sessions() {
    exercise(&targets::session::TARGET, 3_000);
}

#[test]
fn configurations() {
    exercise(&targets::config::TARGET, 3_000);
}

#[test]
fn filters() {
    exercise(&targets::seccomp::TARGET, 1_000);
}

#[test]
fn groups() {
    exercise(&targets::groups::TARGET, 10_000);
}
