//! Containers that were asked to end: SIGTERM first, and SIGKILL for who takes too long.

use std::{collections::BTreeMap, time::Duration};

use northstar_client::api::Container;
use tokio::time::Instant;

/// Asks a program to end (signal(7)).
const SIGTERM: i32 = 15;
/// Ends a container.
const SIGKILL: i32 = 9;

/// Who was asked to end, and when the next signal is due.
#[derive(Debug)]
pub struct Stopping {
    grace: Duration,
    asked: BTreeMap<Container, Instant>,
}

impl Stopping {
    /// `grace` is the time that a container has between SIGTERM and SIGKILL.
    pub fn new(grace: Duration) -> Stopping {
        Stopping {
            grace,
            asked: BTreeMap::new(),
        }
    }

    /// The signal that a container that has to end is to get now, if any.
    pub fn signal(&self, container: &Container, now: Instant) -> Option<i32> {
        match self.asked.get(container) {
            None => Some(SIGTERM),
            Some(due) => (*due <= now).then_some(SIGKILL),
        }
    }

    /// It has got its signal.
    pub fn sent(&mut self, container: Container, now: Instant) {
        // A time beyond what the clock can tell never comes.
        let far = || now + Duration::from_secs(u32::MAX.into());
        let due = now.checked_add(self.grace).unwrap_or_else(far);
        self.asked.insert(container, due);
    }

    /// All but these have ended, or need not end any more.
    pub fn only(&mut self, containers: &[Container]) {
        self.asked
            .retain(|container, _| containers.contains(container));
    }

    /// When the next signal is due that was not yet due then.
    pub fn next_due(&self, then: Instant) -> Option<Instant> {
        self.asked.values().copied().filter(|due| *due > then).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_a_question_then_the_end() {
        let grace = Duration::from_secs(5);
        let mut stopping = Stopping::new(grace);
        let (a, b): (Container, Container) =
            ("a:1.0.0".parse().unwrap(), "b:1.0.0".parse().unwrap());
        let now = Instant::now();
        assert_eq!(stopping.next_due(now), None);
        assert_eq!(stopping.signal(&a, now), Some(15));
        // Nothing counts that was not sent.
        assert_eq!(stopping.signal(&a, now), Some(15));
        stopping.sent(a.clone(), now);
        assert_eq!(stopping.signal(&a, now), None);
        assert_eq!(stopping.signal(&b, now), Some(15));
        assert_eq!(stopping.next_due(now), Some(now + grace));
        assert_eq!(stopping.next_due(now + grace), None);
        assert_eq!(stopping.signal(&a, now + grace), Some(9));
        stopping.sent(a.clone(), now + grace);
        assert_eq!(stopping.signal(&a, now + grace), None);
        // Who need not end any more is asked anew if it has to later.
        stopping.only(std::slice::from_ref(&b));
        assert_eq!(stopping.next_due(now), None);
        assert_eq!(stopping.signal(&a, now + grace), Some(15));
    }

    #[test]
    fn a_grace_without_end_never_ends() {
        let mut stopping = Stopping::new(Duration::MAX);
        let a: Container = "a:1.0.0".parse().unwrap();
        let now = Instant::now();
        stopping.sent(a.clone(), now);
        assert_eq!(
            stopping.signal(&a, now + Duration::from_secs(1 << 30)),
            None
        );
    }
}
