//! System calls by number, made on purpose where they should be refused: for programs that probe a
//! sandbox from the inside. Only with the feature `attempt`, which nothing that is shipped uses.
//!
//! A call that nobody has checked may do anything to the process that makes it. So each is made in a
//! child that was forked for it, has memory of its own, and ends right after it.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::pipe::{PipeFlags, pipe_with};

use crate::{Error, Result};

/// Most arguments of a system call.
const ARGUMENTS: usize = 6;

/// Seconds until a call that does not return is given up; the child dies of SIGALRM then.
const PATIENCE: u32 = 10;

/// An argument of a system call.
#[derive(Debug, Clone, Copy)]
pub enum Argument<'a> {
    /// A number, a descriptor or a set of flags.
    Number(i64),
    /// A pointer to a copy of these bytes; text brings its NUL along.
    Bytes(&'a [u8]),
}

/// How a system call went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It returned this number, which is no error.
    Returned(i64),
    /// It failed with this number of errno(3).
    Failed(i32),
    /// The process that made it died by this signal.
    Died(i32),
}

/// Which entrance into the kernel is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entrance {
    /// The one of this architecture.
    Native,
    /// `int 0x80` with the numbers of i386, which a 64-bit kernel serves as well.
    #[cfg(target_arch = "x86_64")]
    Interrupt80,
}

/// Makes system call `number` in a child process and tells how it went.
///
/// Whatever the call changes ends with the child, unless it changes something outside of it.
///
/// # Errors
/// EINVAL for more than six arguments, or bytes through another entrance than the native one; the
/// errno of pipe2(2), fork(2), waitpid(2) or read(2).
pub fn attempt(number: i64, arguments: &[Argument<'_>], entrance: Entrance) -> Result<Outcome> {
    let invalid = |what: &'static str| Error::from_errno("attempt", what, libc::EINVAL);
    if arguments.len() > ARGUMENTS {
        return Err(invalid("more than six arguments"));
    }
    let has_bytes = arguments.iter().any(|a| matches!(a, Argument::Bytes(_)));
    if has_bytes && entrance != Entrance::Native {
        return Err(invalid("a pointer of 64 bits"));
    }
    // Before the fork, because the child must not allocate.
    let mut memory: Vec<Vec<u8>> = arguments
        .iter()
        .map(|argument| match argument {
            Argument::Number(_) => Vec::new(),
            Argument::Bytes(bytes) => bytes.to_vec(),
        })
        .collect();
    let mut values = [0i64; ARGUMENTS];
    for ((value, argument), memory) in values.iter_mut().zip(arguments).zip(&mut memory) {
        *value = match argument {
            Argument::Number(number) => *number,
            Argument::Bytes(_) => memory.as_mut_ptr().expose_provenance() as i64,
        };
    }
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(|e| Error::new("pipe2", "", e))?;

    // SAFETY: the child calls nothing but functions that signal-safety(7) allows after a fork.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        make(number, values, entrance, writer.as_raw_fd());
    }
    if pid < 0 {
        return Err(Error::new("fork", "", std::io::Error::last_os_error()));
    }
    drop(writer);
    let said = listen(&reader);
    let status = reap(pid)?;
    match said? {
        Some(answer) => Ok(answer),
        None => Ok(Outcome::Died(libc::WTERMSIG(status))),
    }
}

/// The child: one call, its answer into the pipe, the end.
fn make(number: i64, values: [i64; ARGUMENTS], entrance: Entrance, pipe: i32) -> ! {
    // SAFETY: alarm takes a number.
    unsafe { libc::alarm(PATIENCE) };
    let (returned, errno) = match entrance {
        Entrance::Native => native(number, values),
        #[cfg(target_arch = "x86_64")]
        Entrance::Interrupt80 => interrupt_80(number, values),
    };
    let mut answer = [0u8; 12];
    let (first, second) = answer.split_at_mut(8);
    first.copy_from_slice(&returned.to_ne_bytes());
    second.copy_from_slice(&errno.to_ne_bytes());
    // SAFETY: `answer` is alive and has the length given. A pipe takes twelve bytes at once; if it
    // takes none, the parent sees an end without an answer.
    unsafe { libc::write(pipe, answer.as_ptr().cast(), answer.len()) };
    crate::process::exit(0)
}

/// The result and, if that is -1, the errno.
fn native(number: i64, values: [i64; ARGUMENTS]) -> (i64, i32) {
    let [a, b, c, d, e, f] = values;
    // SAFETY: the call may damage this process, which has memory of its own since the fork and does
    // nothing afterwards but write its answer and end.
    let returned = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    // SAFETY: the address of errno of this thread is always valid.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let errno = unsafe { *errno };
    (returned, if returned == -1 { errno } else { 0 })
}

#[cfg(target_arch = "x86_64")]
fn interrupt_80(number: i64, values: [i64; ARGUMENTS]) -> (i64, i32) {
    let [_, c, d, ..] = values;
    let mut returned = number;
    // SAFETY: as for `native`. The first argument is left out because it goes into rbx, which
    // belongs to the compiler; the kernel keeps every register but rax and r8 to r11.
    unsafe {
        std::arch::asm!(
            "int 0x80",
            inout("rax") returned,
            in("rcx") c,
            in("rdx") d,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    match returned as i32 {
        errno @ -4095..=-1 => (-1, -errno),
        other => (i64::from(other), 0),
    }
}

/// The child's answer; none if it died before.
fn listen(reader: &OwnedFd) -> Result<Option<Outcome>> {
    let mut answer = [0u8; 12];
    let length = rustix::io::retry_on_intr(|| rustix::io::read(reader.as_fd(), &mut answer))
        .map_err(|e| Error::new("read", "the answer", e))?;
    let (first, second) = answer.split_at(8);
    match (<[u8; 8]>::try_from(first), <[u8; 4]>::try_from(second)) {
        (Ok(returned), Ok(errno)) if length == answer.len() => {
            Ok(Some(match i32::from_ne_bytes(errno) {
                0 => Outcome::Returned(i64::from_ne_bytes(returned)),
                errno => Outcome::Failed(errno),
            }))
        }
        _ => Ok(None),
    }
}

fn reap(pid: i32) -> Result<i32> {
    let mut status = 0;
    loop {
        // SAFETY: `status` is alive.
        let returned = unsafe { libc::waitpid(pid, &raw mut status, 0) };
        let error = std::io::Error::last_os_error();
        if returned == pid {
            return Ok(status);
        }
        if error.raw_os_error() != Some(libc::EINTR) {
            return Err(Error::new("waitpid", "", error));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn native(number: i64, arguments: &[Argument<'_>]) -> Outcome {
        attempt(number, arguments, Entrance::Native).unwrap()
    }

    #[test]
    fn the_answer_is_the_kernels() {
        use Argument::{Bytes, Number};
        let path = [Bytes(b"/no/such/directory\0")];
        assert_eq!(
            native(libc::SYS_chdir, &path),
            Outcome::Failed(libc::ENOENT)
        );
        assert_eq!(
            native(libc::SYS_dup3, &[Number(0), Number(9), Number(0)]),
            Outcome::Returned(9)
        );
        // Nobody gets a number above all.
        assert_eq!(native(9999, &[]), Outcome::Failed(libc::ENOSYS));
    }

    #[test]
    fn what_a_call_changes_stays_in_the_child() {
        let before = std::env::current_dir().unwrap();
        let root = [Argument::Bytes(b"/\0")];
        assert_eq!(native(libc::SYS_chdir, &root), Outcome::Returned(0));
        assert_eq!(std::env::current_dir().unwrap(), before);
    }

    #[test]
    fn an_end_is_told_from_an_error() {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let exited = native(libc::SYS_exit_group, &[Argument::Number(0)]);
        assert_eq!(exited, Outcome::Died(0), "an end without an answer");
        let parent = native(libc::SYS_getppid, &[]);
        assert_eq!(parent, Outcome::Returned(own.into()));
    }

    #[test]
    fn too_many_arguments_are_refused() {
        let error = attempt(
            libc::SYS_getpid,
            &[Argument::Number(0); 7],
            Entrance::Native,
        )
        .unwrap_err();
        assert_eq!(error.errno(), libc::EINVAL);
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_interrupt_has_the_numbers_of_i386() {
        // 20 is getpid there, writev here. A kernel without i386 kills the process.
        let outcome = attempt(20, &[], Entrance::Interrupt80).unwrap();
        let plausible = matches!(
            outcome,
            Outcome::Returned(1..) | Outcome::Died(libc::SIGSEGV)
        );
        assert!(plausible, "{outcome:?}");
    }
}
