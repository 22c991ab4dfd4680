//! The end: nothing new begins, what runs is asked to end and then killed, what rests is taken down.

use super::{Machine, Workshop, answer};
use crate::supervisor::{
    Error, Event,
    registry::{AfterUnmount, Image, Run},
};
use nix::libc::{SIGKILL, SIGTERM};

impl<W: Workshop> Machine<W> {
    /// Refuses everything from now on, asks all containers to end, and takes down what is at rest; their outcomes
    /// take down the rest.
    pub(in crate::supervisor) fn close(&mut self) {
        self.closing = Some(SIGTERM);
        self.workshop.publish(Event::Shutdown);
        for request in std::mem::take(&mut self.waiting) {
            request.deny(Error::ShuttingDown);
        }
        self.signal_all(SIGTERM);
        self.take_down();
    }

    /// Kills what still runs, and whatever comes up from now on. Returns how many containers were killed.
    pub(in crate::supervisor) fn kill_all(&mut self) -> usize {
        self.closing = Some(SIGKILL);
        self.signal_all(SIGKILL)
    }

    fn signal_all(&mut self, signal: i32) -> usize {
        let mut reached = 0;
        for (_, entry) in self.registry.iter() {
            // One that cannot be reached is dying, or will be killed by the next try.
            if let Run::Running { process, .. } = &entry.run
                && self.workshop.signal(process, signal).is_ok()
            {
                reached += 1;
            }
        }
        reached
    }

    /// Cancels the starts, and unmounts what nobody uses any more.
    pub(super) fn take_down(&mut self) {
        let mut idle = Vec::new();
        for (container, entry) in self.registry.iter_mut() {
            match std::mem::replace(&mut entry.run, Run::Idle) {
                Run::Gathering(start) => answer(start.reply, Err(Error::ShuttingDown)),
                other => {
                    if let Run::Launching { cancel, .. } = &other {
                        cancel.cancel();
                    }
                    entry.run = other;
                }
            }
            if entry.run.is_idle() && matches!(entry.image, Image::Mounted(_)) {
                idle.push(container.clone());
            }
        }
        for container in idle {
            if self.registry.user_of(&container).is_none() {
                self.begin_unmount(&container, AfterUnmount::Rest { reply: None });
            }
        }
    }

    /// Nothing is left to wait for.
    pub(in crate::supervisor) fn is_closed(&self) -> bool {
        self.closing.is_some() && self.registry.is_at_rest()
    }
}
