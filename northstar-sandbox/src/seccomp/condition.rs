//! Conditions on arguments, and their translation for the compiler.

use super::{Rule, SeccompError};
use seccompiler::{SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

/// A call that is allowed for certain arguments.
#[derive(Debug, Clone, Copy)]
pub struct Conditional {
    /// Name of the call.
    pub call: &'static str,
    /// Allowed if all checks of any row hold.
    pub when: &'static [&'static [Check]],
}

/// A comparison of the low 32 bits of an argument.
///
/// For parameters that the kernel reads as a 32-bit value: what a caller puts
/// into the upper half neither allows nor denies anything.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    index: u8,
    test: Test,
}

#[derive(Debug, Clone, Copy)]
enum Test {
    Equal(u32),
    Differs(u32),
    Masked { mask: u32, value: u32 },
}

impl Check {
    /// The argument is `value`.
    pub const fn equal(index: u8, value: u32) -> Check {
        Check {
            index,
            test: Test::Equal(value),
        }
    }

    /// The argument is anything but `value`.
    pub const fn differs(index: u8, value: u32) -> Check {
        Check {
            index,
            test: Test::Differs(value),
        }
    }

    /// The argument has none of the bits of `mask`.
    pub const fn clear(index: u8, mask: u32) -> Check {
        Check::masked(index, mask, 0)
    }

    /// The argument's bits under `mask` are `value`.
    pub const fn masked(index: u8, mask: u32, value: u32) -> Check {
        Check {
            index,
            test: Test::Masked { mask, value },
        }
    }

    fn compile(self) -> Result<SeccompCondition, seccompiler::BackendError> {
        let (operator, value) = match self.test {
            Test::Equal(value) => (SeccompCmpOp::Eq, value),
            Test::Differs(value) => (SeccompCmpOp::Ne, value),
            Test::Masked { mask, value } => (SeccompCmpOp::MaskedEq(u64::from(mask)), value),
        };
        SeccompCondition::new(
            self.index,
            SeccompCmpArgLen::Dword,
            operator,
            u64::from(value),
        )
    }
}

impl Conditional {
    /// One rule per row.
    pub(super) fn compile(&self) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
        let mut rules = Vec::with_capacity(self.when.len());
        for row in self.when {
            let checks: Result<Vec<_>, _> = row.iter().map(|check| check.compile()).collect();
            rules.push(SeccompRule::new(checks?)?);
        }
        Ok(rules)
    }
}

/// Highest argument index of a system call.
const MAX_INDEX: u8 = 5;

/// Largest number of values in one rule.
pub const MAX_VALUES: usize = 50;

/// Translates a manifest's rule; `None` stands for any arguments.
///
/// The full 64-bit argument is compared, whatever the width of the parameter.
pub(super) fn compile_rule(
    call: &str,
    rule: &Rule,
) -> Result<Option<Vec<SeccompRule>>, SeccompError> {
    let Rule::Args {
        index,
        values,
        mask,
    } = rule
    else {
        return Ok(None);
    };
    if *index > MAX_INDEX {
        return Err(SeccompError::ArgumentIndex {
            call: call.to_owned(),
            index: *index,
        });
    }
    if values.len() > MAX_VALUES {
        return Err(SeccompError::TooManyValues {
            call: call.to_owned(),
            count: values.len(),
        });
    }
    if values.is_empty() && mask.is_none() {
        return Err(SeccompError::NoCondition {
            call: call.to_owned(),
        });
    }
    let equal = values.iter().map(|value| (SeccompCmpOp::Eq, *value));
    let masked = mask.map(|mask| (SeccompCmpOp::MaskedEq(!mask), 0));
    let mut rules = Vec::with_capacity(values.len().saturating_add(1));
    for (operator, value) in equal.chain(masked) {
        let condition = SeccompCondition::new(*index, SeccompCmpArgLen::Qword, operator, value)?;
        rules.push(SeccompRule::new(vec![condition])?);
    }
    Ok(Some(rules))
}
