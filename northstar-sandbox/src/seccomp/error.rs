//! Why a filter could not be compiled.

/// Why a filter could not be compiled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeccompError {
    /// No supported architecture has a system call of this name.
    #[error("unknown system call {call:?}")]
    UnknownCall {
        /// The name as given.
        call: String,
    },
    /// An argument index above 5.
    #[error("seccomp rule for {call}: argument index {index} is above 5")]
    ArgumentIndex {
        /// Name of the call.
        call: String,
        /// The index as given.
        index: u8,
    },
    /// More values than a rule may have.
    #[error(
        "seccomp rule for {call}: {count} values are more than {}",
        super::MAX_VALUES
    )]
    TooManyValues {
        /// Name of the call.
        call: String,
        /// Number of values given.
        count: usize,
    },
    /// A rule with arguments that has neither values nor a mask.
    #[error("seccomp rule for {call}: values or mask is required")]
    NoCondition {
        /// Name of the call.
        call: String,
    },
    /// The filters together have more instructions than the kernel takes.
    #[error("seccomp filters of {instructions} instructions are over the kernel's {limit}")]
    TooLarge {
        /// Instructions, with the kernel's overhead per filter.
        instructions: usize,
        /// The kernel's limit.
        limit: usize,
    },
    /// The filter compiler refused the rules.
    #[error("seccomp filter cannot be compiled")]
    Compiler(#[from] seccompiler::BackendError),
}
