//! The one error type: which call failed, with which arguments, and the kernel's answer.

use std::borrow::Cow;
use std::io;

/// Result of a system call.
pub type Result<T> = std::result::Result<T, Error>;

/// A system call that failed.
///
/// `Display` names the call and its key arguments; the kernel's errno is the `source`.
#[derive(Debug, thiserror::Error)]
#[error("{call}({arguments})")]
pub struct Error {
    call: &'static str,
    arguments: Cow<'static, str>,
    source: io::Error,
}

impl Error {
    /// Describes a failed `call` with its key `arguments`.
    pub fn new(
        call: &'static str,
        arguments: impl Into<Cow<'static, str>>,
        source: impl Into<io::Error>,
    ) -> Error {
        Error {
            call,
            arguments: arguments.into(),
            source: source.into(),
        }
    }

    /// Describes a failed `call` by a number from errno(3).
    pub fn from_errno(
        call: &'static str,
        arguments: impl Into<Cow<'static, str>>,
        errno: i32,
    ) -> Error {
        Error::new(call, arguments, io::Error::from_raw_os_error(errno))
    }

    /// Name of the system call.
    pub fn call(&self) -> &'static str {
        self.call
    }

    /// The arguments that tell this call from others of its kind.
    pub fn arguments(&self) -> &str {
        &self.arguments
    }

    /// The number from errno(3); 0 when the failure did not come from the kernel.
    pub fn errno(&self) -> i32 {
        self.source.raw_os_error().unwrap_or(0)
    }

    /// The number from errno(3), as [`io::Error::raw_os_error`] gives it.
    pub fn raw_os_error(&self) -> Option<i32> {
        self.source.raw_os_error()
    }

    /// The kind of the underlying error.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

impl From<Error> for io::Error {
    /// Keeps the errno and drops the call's name, so that `raw_os_error` goes on working.
    fn from(error: Error) -> io::Error {
        error.source
    }
}

/// Turns the return value of a libc call into a `Result`: -1 means that errno has the reason.
///
/// `arguments` is called on failure only, and after errno has been read.
pub(crate) fn check<A: Into<Cow<'static, str>>>(
    call: &'static str,
    returned: i64,
    arguments: impl FnOnce() -> A,
) -> Result<i64> {
    if returned == -1 {
        let source = io::Error::last_os_error();
        return Err(Error::new(call, arguments(), source));
    }
    Ok(returned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errno_survives_the_conversion_into_an_io_error() {
        let error = Error::from_errno("loop", "/dev/loop0", libc::EBUSY);
        assert_eq!(error.to_string(), "loop(/dev/loop0)");
        assert_eq!(error.errno(), libc::EBUSY);
        assert_eq!(io::Error::from(error).raw_os_error(), Some(libc::EBUSY));
    }

    #[test]
    fn minus_one_is_the_only_failure() {
        assert_eq!(check("call", -2, || "").ok(), Some(-2));
        assert_eq!(check("call", 0, || "").ok(), Some(0));
    }
}
