//! Which rules a recording needs.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ArgumentError, MAX_VALUES, Recording, SeccompFailure, Wanted,
    profile::{self, Coverage},
    recording::{KeepsArguments, Uses},
    values::{text_of, values},
};

/// Every flag that makes clone create a namespace (`linux/sched.h`).
const CLONE_NAMESPACES: u64 = 0x7e02_0000;

/// When a call is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Always.
    Any,
    /// If an argument is one of these.
    Values {
        /// Which argument.
        index: usize,
        /// In order.
        values: Vec<u64>,
    },
    /// If an argument has no bit outside of the mask.
    Mask {
        /// Which argument.
        index: usize,
        /// The bits.
        mask: u64,
    },
}

/// What was learned.
#[derive(Debug, PartialEq, Eq)]
pub struct Learned {
    /// Whether the rules come on top of the profile `default`.
    pub on_profile: bool,
    /// By call: the rule, and whether the profile allows what was recorded of it.
    pub rules: BTreeMap<&'static str, (Rule, bool)>,
    /// What whoever uses the rules should know.
    pub notes: Vec<String>,
    /// How many calls were recorded.
    pub count: u64,
}

/// Arguments that are asked for, and those that the profile looks at.
impl KeepsArguments for Wanted {
    fn keeps(&self, call: &str) -> bool {
        self.contains_key(call) || profile::is_conditional(call)
    }
}

/// The rules for a recording: a list of its own, or what the profile `default` lacks.
pub fn learn(
    recording: &Recording,
    wanted: &Wanted,
    on_profile: bool,
) -> Result<Learned, SeccompFailure> {
    let mut learned = Learned {
        on_profile,
        rules: BTreeMap::new(),
        notes: Vec::new(),
        count: recording.count(),
    };
    for (&call, uses) in &recording.calls {
        if call == "clone3" {
            learned.without_clone3();
            continue;
        }
        let coverage = profile::coverage(call, uses);
        let asked = wanted.get(call).copied();
        if on_profile && !learned.lacks(call, coverage, asked) {
            continue;
        }
        let rule = match (asked, coverage) {
            (Some(index), _) => values_rule(call, uses, index, false)?,
            // More of a call that the profile allows in part: as little as possible.
            (None, Coverage::Not { index: Some(index) }) if on_profile => {
                values_rule(call, uses, index, true)?
            }
            (None, Coverage::All) if call == "clone" => no_namespaces(),
            (None, _) => Rule::Any,
        };
        learned
            .rules
            .insert(call, (rule, coverage == Coverage::All));
    }
    for call in wanted
        .keys()
        .filter(|call| !recording.calls.contains_key(call.as_str()))
    {
        learned
            .notes
            .push(format!("{call} was not called: --args has no effect on it"));
    }
    Ok(learned)
}

impl Learned {
    /// A filter cannot see the flags of clone3, so it is not listed: the runtime answers ENOSYS, and libc
    /// takes clone.
    fn without_clone3(&mut self) {
        if !self.on_profile {
            self.rules.entry("clone").or_insert((no_namespaces(), true));
        }
        self.notes.push(
            "clone3 is left out, because a filter cannot look at its flags: it answers ENOSYS, and \
             libc takes clone instead"
                .to_owned(),
        );
    }

    /// Whether something has to be added to the profile for a call.
    fn lacks(&mut self, call: &str, coverage: Coverage, asked: Option<usize>) -> bool {
        match coverage {
            Coverage::All => {
                if asked.is_some() {
                    self.notes.push(format!(
                        "the profile default allows {call} already: --args cannot narrow it"
                    ));
                }
                false
            }
            Coverage::Unknown if asked.is_none() => {
                self.notes.push(format!(
                    "{call}: the profile default allows some arguments, and the recording does not \
                     tell which ones were used; nothing is added"
                ));
                false
            }
            Coverage::Unknown | Coverage::Not { .. } => true,
        }
    }
}

fn no_namespaces() -> Rule {
    Rule::Mask {
        index: 0,
        mask: !CLONE_NAMESPACES,
    }
}

/// The values of an argument; of those uses alone that the profile denies, if `lacking`.
fn values_rule(
    call: &str,
    uses: &Uses,
    index: usize,
    lacking: bool,
) -> Result<Rule, SeccompFailure> {
    let error = |source| SeccompFailure::Argument {
        call: call.to_owned(),
        source,
    };
    if uses.without_arguments {
        return Err(error(ArgumentError::NotRecorded));
    }
    let mut found = BTreeSet::new();
    for arguments in &uses.arguments {
        if lacking && profile::allows_arguments(call, arguments) == Some(true) {
            continue;
        }
        let text = text_of(call, arguments, index).map_err(error)?;
        found.extend(values(text).map_err(error)?);
    }
    let count = found.len();
    if count > MAX_VALUES {
        return Err(error(ArgumentError::TooMany { index, count }));
    }
    Ok(Rule::Values {
        index,
        values: found.into_iter().collect(),
    })
}
