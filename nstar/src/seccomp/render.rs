//! Rules as the `seccomp` of a manifest.

use std::fmt::Write;

use super::{Learned, Rule};

/// The YAML, with an end of line. The same rules give the same text.
pub fn render(learned: &Learned) -> String {
    let Learned {
        on_profile,
        rules,
        count,
        ..
    } = learned;
    let mut text = format!("# Learned by nstar from {count} system calls.\n");
    if !on_profile && rules.values().any(|(_, is_default)| *is_default) {
        text.push_str("# default: the profile `default` allows what was recorded of it, too.\n");
    }
    text.push_str("seccomp:\n");
    if *on_profile {
        text.push_str("  profile: default\n");
    }
    if !rules.is_empty() {
        text.push_str("  allow:\n");
    }
    for (call, (rule, is_default)) in rules {
        let mark = if *is_default && !on_profile {
            "  # default"
        } else {
            ""
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "    {call}: {}{mark}", yaml(rule));
    }
    text
}

fn yaml(rule: &Rule) -> String {
    match rule {
        Rule::Any => "any".to_owned(),
        Rule::Values { index, values } => {
            let values: Vec<String> = values.iter().map(u64::to_string).collect();
            format!("!args {{index: {index}, values: [{}]}}", values.join(", "))
        }
        Rule::Mask { index, mask } => format!("!args {{index: {index}, mask: {mask}}}"),
    }
}
