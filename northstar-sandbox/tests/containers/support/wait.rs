//! Waiting for what has to happen.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use northstar_sandbox::{Control, InitEvent, ReceiveError};
use rustix::event::{PollFd, PollFlags, Timespec};

/// Longest time anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for the next event of an init.
pub fn event(control: &Control) -> Result<InitEvent, ReceiveError> {
    wait_readable(control.as_fd());
    Ok(control.receive()?.expect("it was readable"))
}

pub fn wait_readable(descriptor: BorrowedFd<'_>) {
    assert!(
        readable_within(descriptor, PATIENCE),
        "nothing happened in {PATIENCE:?}"
    );
}

fn readable_within(descriptor: BorrowedFd<'_>, patience: Duration) -> bool {
    let mut descriptors = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
    let timeout = Timespec {
        tv_sec: patience.as_secs() as i64,
        tv_nsec: patience.subsec_nanos().into(),
    };
    rustix::event::poll(&mut descriptors, Some(&timeout)).unwrap() > 0
}

/// Polls until `condition` holds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
