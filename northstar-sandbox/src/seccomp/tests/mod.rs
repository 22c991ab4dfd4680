//! The compiled programs are run in an interpreter and compared with an oracle
//! that knows neither the tables nor the compiler.

mod golden;
pub(crate) mod interpreter;
mod oracle;
mod peers;
mod rules;

use super::{Arch, Profile, Program, Rule, SeccompSpec, compile};
use caps::Capability;
use interpreter::{Call, Verdict};
use std::collections::{BTreeMap, BTreeSet};

/// The names in a table.
fn words(text: &str) -> BTreeSet<&str> {
    text.split_whitespace().collect()
}

/// The profile `default` with capabilities.
fn default_profile(capabilities: &[Capability]) -> SeccompSpec {
    SeccompSpec {
        profile: Some(Profile::Default),
        allow: BTreeMap::new(),
        capabilities: capabilities.to_vec(),
    }
}

/// A list without a profile.
fn only(allow: impl IntoIterator<Item = (&'static str, Rule)>) -> SeccompSpec {
    SeccompSpec {
        profile: None,
        allow: allow
            .into_iter()
            .map(|(call, rule)| (call.to_owned(), rule))
            .collect(),
        capabilities: Vec::new(),
    }
}

fn args(index: u8, values: &[u64], mask: Option<u64>) -> Rule {
    Rule::Args {
        index,
        values: values.to_vec(),
        mask,
    }
}

/// The answer to a call made on `arch` itself.
fn answer(programs: &[Program], arch: Arch, number: i64, args: [u64; 6]) -> Verdict {
    let number = u32::try_from(number).unwrap();
    interpreter::run(
        programs,
        &Call {
            number,
            arch: interpreter::audit(arch),
            args,
        },
    )
}

fn answer_to(programs: &[Program], arch: Arch, call: &str, args: [u64; 6]) -> Verdict {
    answer(programs, arch, arch.number(call).unwrap(), args)
}
