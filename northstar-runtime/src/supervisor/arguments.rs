//! The rules for what a start may bring along.

use super::{
    InvalidArguments, MAX_ARGUMENT_BYTES, MAX_ARGUMENTS, MAX_ENVIRONMENT, MAX_VARIABLE_NAME,
    MAX_VARIABLE_VALUE, StartOverrides, registry::Facts,
};

/// Variables that the runtime sets itself.
const RESERVED: [&str; 4] = [
    "NORTHSTAR_NAME",
    "NORTHSTAR_VERSION",
    "NORTHSTAR_CONTAINER",
    "NORTHSTAR_CONSOLE",
];
/// Beginning of the variables that tell a container its sockets.
const RESERVED_PREFIX: &str = "NORTHSTAR_SOCKET_";

/// Checks what a start brings along against the limits and the policy of the container's repository.
pub(super) fn check(overrides: &StartOverrides, facts: &Facts) -> Result<(), InvalidArguments> {
    if overrides.is_empty() {
        return Ok(());
    }
    if !facts.start_command {
        return Err(InvalidArguments::Forbidden(facts.repository.clone()));
    }
    if overrides.arguments.len() > MAX_ARGUMENTS {
        let count = overrides.arguments.len();
        return Err(InvalidArguments::TooMany {
            count,
            limit: MAX_ARGUMENTS,
        });
    }
    if overrides.environment.len() > MAX_ENVIRONMENT {
        let count = overrides.environment.len();
        return Err(InvalidArguments::TooManyVariables {
            count,
            limit: MAX_ENVIRONMENT,
        });
    }
    if overrides.init.as_deref() == Some("") {
        return Err(InvalidArguments::EmptyInit);
    }
    let variables = overrides
        .environment
        .iter()
        .flat_map(|(name, value)| [name, value]);
    let strings = overrides
        .init
        .iter()
        .chain(&overrides.arguments)
        .chain(variables);
    let mut bytes = 0;
    for string in strings {
        if string.contains('\0') {
            return Err(InvalidArguments::Nul(string.clone()));
        }
        // Each string is one entry of argv or envp and ends with a NUL byte there.
        bytes += string.len() + 1;
    }
    if bytes > MAX_ARGUMENT_BYTES {
        return Err(InvalidArguments::TooLong {
            bytes,
            limit: MAX_ARGUMENT_BYTES,
        });
    }
    overrides
        .environment
        .iter()
        .try_for_each(|(name, value)| variable(name, value))
}

fn variable(name: &str, value: &str) -> Result<(), InvalidArguments> {
    if name.is_empty() || name.len() > MAX_VARIABLE_NAME || name.contains('=') {
        return Err(InvalidArguments::VariableName(name.to_owned()));
    }
    if RESERVED.contains(&name) || name.starts_with(RESERVED_PREFIX) {
        return Err(InvalidArguments::Reserved(name.to_owned()));
    }
    if value.len() > MAX_VARIABLE_VALUE {
        return Err(InvalidArguments::VariableValue {
            name: name.to_owned(),
            bytes: value.len(),
            limit: MAX_VARIABLE_VALUE,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn facts(start_command: bool) -> Facts {
        Facts {
            repository: "default".parse().unwrap(),
            resource: false,
            start_command,
            critical: false,
            needs: Vec::new(),
        }
    }

    fn arguments(arguments: Vec<String>) -> StartOverrides {
        StartOverrides {
            arguments,
            ..Default::default()
        }
    }

    fn environment(name: &str, value: &str) -> StartOverrides {
        let environment = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        StartOverrides {
            environment,
            ..Default::default()
        }
    }

    #[test]
    fn repository_policy_comes_first_and_concerns_overrides_only() {
        let refused = check(&arguments(vec!["a".into()]), &facts(false));
        assert_eq!(
            refused,
            Err(InvalidArguments::Forbidden("default".parse().unwrap()))
        );
        assert_eq!(check(&StartOverrides::default(), &facts(false)), Ok(()));
    }

    #[test]
    fn number_of_arguments_is_limited() {
        assert_eq!(
            check(&arguments(vec!["a".into(); 256]), &facts(true)),
            Ok(())
        );
        assert_eq!(
            check(&arguments(vec!["a".into(); 257]), &facts(true)),
            Err(InvalidArguments::TooMany {
                count: 257,
                limit: 256
            })
        );
    }

    #[test]
    fn bytes_are_limited_over_all_strings() {
        assert_eq!(
            check(&arguments(vec!["a".repeat(32 * 1024 - 1)]), &facts(true)),
            Ok(())
        );
        assert_eq!(
            check(&arguments(vec!["a".repeat(32 * 1024)]), &facts(true)),
            Err(InvalidArguments::TooLong {
                bytes: 32 * 1024 + 1,
                limit: 32 * 1024
            })
        );
        let mut both = environment("A", "x");
        both.init = Some("i".repeat(32 * 1024 - 1));
        assert_eq!(
            check(&both, &facts(true)),
            Err(InvalidArguments::TooLong {
                bytes: 32 * 1024 + 4,
                limit: 32 * 1024
            })
        );
    }

    #[test]
    fn number_of_variables_is_limited() {
        let many = |count: usize| StartOverrides {
            environment: (0..count)
                .map(|i| (format!("V{i}"), String::new()))
                .collect(),
            ..Default::default()
        };
        assert_eq!(check(&many(64), &facts(true)), Ok(()));
        assert_eq!(
            check(&many(65), &facts(true)),
            Err(InvalidArguments::TooManyVariables {
                count: 65,
                limit: 64
            })
        );
    }

    #[test]
    fn nul_bytes_are_refused_everywhere() {
        let init = StartOverrides {
            init: Some("/a\0".into()),
            ..Default::default()
        };
        for overrides in [
            arguments(vec!["a\0b".into()]),
            environment("A", "\0"),
            environment("\0", ""),
            init,
        ] {
            assert!(matches!(
                check(&overrides, &facts(true)),
                Err(InvalidArguments::Nul(_))
            ));
        }
    }

    #[test]
    fn variable_names_and_values_are_checked() {
        for name in ["", "A=B", &"x".repeat(65)] {
            assert_eq!(
                check(&environment(name, ""), &facts(true)),
                Err(InvalidArguments::VariableName(name.to_owned()))
            );
        }
        for name in [
            "NORTHSTAR_NAME",
            "NORTHSTAR_VERSION",
            "NORTHSTAR_CONTAINER",
            "NORTHSTAR_CONSOLE",
            "NORTHSTAR_SOCKET_x",
        ] {
            assert_eq!(
                check(&environment(name, ""), &facts(true)),
                Err(InvalidArguments::Reserved(name.to_owned()))
            );
        }
        assert_eq!(
            check(&environment("NORTHSTAR", &"x".repeat(1024)), &facts(true)),
            Ok(())
        );
        assert_eq!(
            check(&environment("A", &"x".repeat(1025)), &facts(true)),
            Err(InvalidArguments::VariableValue {
                name: "A".into(),
                bytes: 1025,
                limit: 1024
            })
        );
    }

    #[test]
    fn empty_init_is_refused() {
        let init = StartOverrides {
            init: Some(String::new()),
            ..Default::default()
        };
        assert_eq!(check(&init, &facts(true)), Err(InvalidArguments::EmptyInit));
    }
}
