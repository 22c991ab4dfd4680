//! What the profile `default` of the runtime allows, without any capability.
//!
//! `default.profile` is written by a test from the tables of the runtime, and the same test holds the two
//! together, so that nstar needs nothing of the runtime when it runs.

use std::{collections::BTreeMap, sync::OnceLock};

use super::{
    recording::Uses,
    values::{text_of, values},
};

/// A call a line; behind its name the conditions of one rule, if there are any.
const TEXT: &str = include_str!("default.profile");

/// A comparison of the low 32 bits of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Check {
    index: usize,
    test: Test,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    Equal(u32),
    Differs(u32),
    Masked { mask: u32, value: u32 },
}

/// The rules of a call: any arguments if there are none, else one of them has to hold as a whole.
type Rules = Vec<Vec<Check>>;

/// Whether the profile allows what was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// All of it.
    All,
    /// Not all of it; the argument that matters, if one does.
    Not { index: Option<usize> },
    /// It depends on arguments that are not known.
    Unknown,
}

fn table() -> &'static BTreeMap<&'static str, Rules> {
    static TABLE: OnceLock<BTreeMap<&'static str, Rules>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = BTreeMap::<_, Rules>::new();
        for line in TEXT.lines().filter(|line| !line.starts_with('#')) {
            let (name, conditions) = line.split_once(' ').unwrap_or((line, ""));
            let rules = table.entry(name).or_default();
            let rule: Vec<Check> = conditions.split(", ").filter_map(check).collect();
            if !rule.is_empty() {
                rules.push(rule);
            }
        }
        table
    })
}

/// `0==1`, `0!=1` or `0&3==1`
fn check(text: &str) -> Option<Check> {
    if let Some((index, value)) = text.split_once("!=") {
        return Some(Check {
            index: index.parse().ok()?,
            test: Test::Differs(value.parse().ok()?),
        });
    }
    let (index, value) = text.split_once("==")?;
    let value = value.parse().ok()?;
    Some(match index.split_once('&') {
        Some((index, mask)) => Check {
            index: index.parse().ok()?,
            test: Test::Masked {
                mask: mask.parse().ok()?,
                value,
            },
        },
        None => Check {
            index: index.parse().ok()?,
            test: Test::Equal(value),
        },
    })
}

/// Whether the profile allows a call for some arguments only.
pub fn is_conditional(call: &str) -> bool {
    table().get(call).is_some_and(|rules| !rules.is_empty())
}

/// Whether the profile allows all uses of a call.
pub fn coverage(call: &str, uses: &Uses) -> Coverage {
    let Some(rules) = table().get(call) else {
        return Coverage::Not { index: None };
    };
    if rules.is_empty() {
        return Coverage::All;
    }
    if uses.without_arguments {
        return Coverage::Unknown;
    }
    let mut coverage = Coverage::All;
    for arguments in &uses.arguments {
        match allows(call, rules, arguments) {
            Some(true) => {}
            Some(false) => {
                let index = rules.iter().flatten().map(|check| check.index).next();
                return Coverage::Not { index };
            }
            None => coverage = Coverage::Unknown,
        }
    }
    coverage
}

/// Whether the profile allows a call with these arguments; `None` if they are not known well enough.
pub fn allows_arguments(call: &str, arguments: &[String]) -> Option<bool> {
    allows(call, table().get(call)?, arguments)
}

fn allows(call: &str, rules: &Rules, arguments: &[String]) -> Option<bool> {
    let mut is_known = true;
    for rule in rules {
        let results: Vec<_> = rule
            .iter()
            .map(|check| check.holds(call, arguments))
            .collect();
        if results.iter().all(|result| *result == Some(true)) {
            return Some(true);
        }
        is_known &= results.contains(&Some(false));
    }
    is_known.then_some(false)
}

impl Check {
    fn holds(self, call: &str, arguments: &[String]) -> Option<bool> {
        let text = text_of(call, arguments, self.index).ok()?;
        let Ok(values) = values(text) else {
            // Who has another name has another value: all that are compared here have one in `values`.
            let is_name = text.starts_with(|c: char| c.is_ascii_uppercase());
            return (is_name && matches!(self.test, Test::Differs(_))).then_some(true);
        };
        // Both forms of a negative number have the same low half.
        let low = u32::try_from(values.first()? & u64::from(u32::MAX)).ok()?;
        Some(match self.test {
            Test::Equal(value) => low == value,
            Test::Differs(value) => low != value,
            Test::Masked { mask, value } => low & mask == value,
        })
    }
}

#[cfg(test)]
mod tests {
    use northstar_sandbox::seccomp::profile::{CONDITIONAL, GROUPS};

    use super::*;

    /// The runtime's tables in the form of `default.profile`.
    fn of_runtime() -> String {
        let mut lines: Vec<String> = GROUPS
            .iter()
            .flat_map(|group| group.calls.split_whitespace())
            .map(str::to_owned)
            .collect();
        for conditional in CONDITIONAL {
            for rule in conditional.when {
                let checks: Vec<String> = rule.iter().map(condition).collect();
                lines.push(format!("{} {}", conditional.call, checks.join(", ")));
            }
        }
        lines.sort();
        format!(
            "# The profile `default` of the runtime. Written by a test of nstar: UPDATE_DOCS=1\n{}\n",
            lines.join("\n")
        )
    }

    /// The fields of a check are the runtime's own; what it prints of itself has them.
    fn condition(check: &impl std::fmt::Debug) -> String {
        let text = format!("{check:?}");
        let numbers: Vec<&str> = text
            .split(|c: char| !c.is_ascii_digit())
            .filter(|word| !word.is_empty())
            .collect();
        match numbers.as_slice() {
            [index, value] if text.contains("Equal(") => format!("{index}=={value}"),
            [index, value] if text.contains("Differs(") => format!("{index}!={value}"),
            [index, mask, value] if text.contains("Masked { mask: ") => {
                format!("{index}&{mask}=={value}")
            }
            _ => panic!("a check of another kind: {text}"),
        }
    }

    #[test]
    fn the_profile_is_that_of_the_runtime() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/seccomp/default.profile");
        let expected = of_runtime();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &expected).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), expected);
        let conditions: usize = table().values().map(Vec::len).sum();
        let expected: usize = CONDITIONAL.iter().map(|c| c.when.len()).sum();
        assert_eq!(conditions, expected, "each line was understood");
    }

    #[test]
    fn what_the_profile_allows_of_a_use() {
        let coverage = |call: &str, arguments: &[&str]| {
            let arguments = arguments.iter().map(|&a| a.to_owned()).collect();
            let uses = Uses {
                count: 1,
                arguments: [arguments].into(),
                without_arguments: false,
            };
            coverage(call, &uses)
        };
        let at = |index| Coverage::Not { index: Some(index) };
        assert_eq!(coverage("read", &[]), Coverage::All);
        assert_eq!(coverage("mount", &[]), Coverage::Not { index: None });
        assert_eq!(
            coverage("socket", &["AF_INET", "SOCK_STREAM", "0"]),
            Coverage::All
        );
        assert_eq!(coverage("socket", &["AF_PACKET", "SOCK_RAW", "0"]), at(0));
        assert_eq!(
            coverage("socket", &["AF_DANCE", "SOCK_RAW", "0"]),
            Coverage::Unknown
        );
        let netlink = |protocol| coverage("socket", &["AF_NETLINK", "SOCK_RAW", protocol]);
        assert_eq!(netlink("NETLINK_ROUTE"), Coverage::All);
        assert_eq!(netlink("NETLINK_AUDIT"), at(0));
        assert_eq!(coverage("ioctl", &["1", "TCGETS", "0x7f"]), Coverage::All);
        assert_eq!(
            coverage("ioctl", &["1", "SNDCTL_DANCE", "0x7f"]),
            Coverage::All
        );
        assert_eq!(coverage("ioctl", &["1", "TIOCSTI", "0x7f"]), at(1));
        let thread = "flags=CLONE_VM|CLONE_FS|CLONE_THREAD";
        assert_eq!(
            coverage("clone", &["child_stack=NULL", thread]),
            Coverage::All
        );
        let namespace = "flags=CLONE_NEWUSER|SIGCHLD";
        assert_eq!(coverage("clone", &["child_stack=NULL", namespace]), at(0));
        assert_eq!(
            coverage("mknod", &["\"/a\"", "S_IFIFO|0600"]),
            Coverage::All
        );
        assert_eq!(
            coverage("mknod", &["\"/a\"", "S_IFCHR|0600", "makedev(0x1, 0x3)"]),
            at(1)
        );
        let unseen = Uses {
            without_arguments: true,
            ..Uses::default()
        };
        assert_eq!(super::coverage("ioctl", &unseen), Coverage::Unknown);
    }
}
