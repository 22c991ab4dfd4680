//! Runs after fork and after the seccomp filter: no allocation, no locking, one system call.
//!
//! [`Program`] is built before, so that a filter which forbids every way to get memory cannot turn
//! a failing execve(2) into an abort that nobody can explain.

use std::ffi::{CStr, CString, c_char};
use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

/// A program with its arguments and environment in the form execve(2) takes.
pub struct Program {
    path: CString,
    argv: NullTerminated,
    envp: NullTerminated,
}

impl Program {
    /// Prepares `path` to be run with `argv` (including argument zero) and `envp`
    /// (`NAME=value` each).
    pub fn new(path: CString, argv: Vec<CString>, envp: Vec<CString>) -> Program {
        Program {
            path,
            argv: NullTerminated::new(argv),
            envp: NullTerminated::new(envp),
        }
    }

    /// The path as given.
    pub fn path(&self) -> &CStr {
        &self.path
    }

    /// Replaces this process by the program. Returns only on failure, with the errno of
    /// execve(2). Neither allocates nor locks.
    pub fn execute(&self) -> i32 {
        // SAFETY: the path and every string are NUL-terminated, both arrays end in a null pointer,
        // and all of it is owned by `self`, which outlives the call.
        let _minus_one =
            unsafe { libc::execve(self.path.as_ptr(), self.argv.as_ptr(), self.envp.as_ptr()) };
        errno()
    }

    /// Replaces this process by the program in `file` instead of the one at the path, for example
    /// a sealed memory file. Returns only on failure, with the errno of execveat(2). Neither
    /// allocates nor locks.
    pub fn execute_file(&self, file: BorrowedFd<'_>) -> i32 {
        // SAFETY: the empty path and every string are NUL-terminated, both arrays end in a null
        // pointer, all of it outlives the call, and `file` is open for the duration of it.
        let _minus_one = unsafe {
            libc::syscall(
                libc::SYS_execveat,
                file.as_raw_fd(),
                c"".as_ptr(),
                self.argv.as_ptr(),
                self.envp.as_ptr(),
                libc::AT_EMPTY_PATH,
            )
        };
        errno()
    }
}

/// The reason of the last failed call, without taking memory.
fn errno() -> i32 {
    // SAFETY: __errno_location always returns a valid pointer to this thread's errno.
    let location = unsafe { libc::__errno_location() };
    // SAFETY: `location` is this thread's errno, which nothing else touches meanwhile.
    unsafe { ptr::read(location) }
}

impl fmt::Debug for Program {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Program")
            .field("path", &self.path)
            .field("argv", &self.argv.strings)
            .field("envp", &self.envp.strings)
            .finish()
    }
}

/// Strings and the array of pointers to them, ended by a null pointer.
struct NullTerminated {
    strings: Vec<CString>,
    /// Points into the heap buffers of `strings`, which never change again.
    pointers: Vec<*const c_char>,
}

impl NullTerminated {
    fn new(strings: Vec<CString>) -> NullTerminated {
        let pointers = strings
            .iter()
            .map(|string| string.as_ptr())
            .chain([ptr::null()])
            .collect::<Vec<_>>();
        NullTerminated { strings, pointers }
    }

    fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_program_answers_enoent() {
        let program = Program::new(c"/nonexistent/program".into(), vec![c"x".into()], vec![]);
        assert_eq!(program.execute(), libc::ENOENT);
    }

    #[test]
    fn file_without_a_program_answers_enoexec() {
        use std::os::fd::AsFd;
        let content = crate::memfd::Content::Program;
        let file = crate::memfd::sealed("test", b"no program", content).unwrap();
        let program = Program::new(c"ignored".into(), vec![c"x".into()], vec![]);
        assert_eq!(program.execute_file(file.as_fd()), libc::ENOEXEC);
    }

    #[test]
    fn directory_answers_eacces() {
        let program = Program::new(c"/".into(), vec![c"x".into()], vec![c"A=1".into()]);
        assert_eq!(program.execute(), libc::EACCES);
    }
}
