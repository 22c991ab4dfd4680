//! The life of a container: armed, running, finished.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use northstar_sandbox::plan::ExecPlan;
use northstar_sandbox::{Control, ExitStatus, InitEvent, StepError};

use super::{World, event, wait_readable};

/// An armed init.
pub struct Armed {
    pub id: u64,
    pub control: Control,
    pub pid: i32,
    pub pidfd: OwnedFd,
    /// Process id of the payload in the container.
    pub payload: i32,
}

impl Armed {
    /// Runs the payload. Standard output and error go to a pipe; `more` are descriptors 1 and on.
    pub fn go(
        self,
        world: &World,
        plan: &ExecPlan,
        more: &[BorrowedFd<'_>],
    ) -> Result<Running, StepError> {
        self.go_with(world, plan, more, &[])
    }

    /// The same in control groups of version 1.
    pub fn go_with(
        self,
        world: &World,
        plan: &ExecPlan,
        more: &[BorrowedFd<'_>],
        tasks: &[BorrowedFd<'_>],
    ) -> Result<Running, StepError> {
        let (output, end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let mut descriptors = vec![end.as_fd()];
        descriptors.extend_from_slice(more);
        self.control.go(plan, &descriptors, tasks).unwrap();
        drop(descriptors);
        drop(end);
        match event(&self.control) {
            Ok(InitEvent::Running { pid }) => {
                assert_eq!(pid, self.payload);
                Ok(Running {
                    init: self,
                    output: output.into(),
                })
            }
            Ok(InitEvent::Failed(error)) => {
                world.wait_for_exit(self.id);
                Err(error)
            }
            other => panic!("instead of Running: {other:?}"),
        }
    }

    pub fn kill(self, world: &World) -> ExitStatus {
        northstar_sys::process::pidfd_send_signal(self.pidfd.as_fd(), 9).unwrap();
        world.wait_for_exit(self.id)
    }
}

/// A payload that was executed.
pub struct Running {
    pub init: Armed,
    pub output: File,
}

impl Running {
    /// Reads one line of output.
    pub fn line(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        loop {
            wait_readable(self.output.as_fd());
            match self.output.read(&mut byte).unwrap() {
                1 if byte != *b"\n" => line.push(byte[0]),
                _ => return String::from_utf8(line).unwrap(),
            }
        }
    }

    /// Reads all output and waits for the end.
    pub fn finish(mut self, world: &World) -> Finished {
        let mut output = String::new();
        let status = match event(&self.init.control) {
            Ok(InitEvent::Exited(status)) => status,
            other => panic!("instead of Exited: {other:?}"),
        };
        world.wait_for_exit(self.init.id);
        self.output.read_to_string(&mut output).unwrap();
        Finished { status, output }
    }
}

/// How a payload ended and what it wrote.
#[derive(Debug, PartialEq, Eq)]
pub struct Finished {
    pub status: ExitStatus,
    pub output: String,
}

impl Finished {
    pub fn expect_success(self) -> String {
        assert_eq!(self.status, ExitStatus::Code(0), "{}", self.output);
        self.output
    }
}
