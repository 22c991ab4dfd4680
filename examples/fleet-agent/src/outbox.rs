//! Events on their way to the broker: in their order, one at a time, until the broker has each of them.

use std::collections::VecDeque;

use northstar_client::api::Resume;

/// Events that may wait. When there are as many, no more are read from the daemon, which keeps them.
const MOST: usize = 256;

/// Events on their way to the broker.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: VecDeque<(Vec<u8>, Option<Resume>)>,
    first: First,
}

/// How far the first of them is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum First {
    #[default]
    Unsent,
    Sent,
    /// The number that the acknowledgement will have.
    Numbered(u16),
}

impl Outbox {
    /// Whether there is room for more.
    pub fn has_room(&self) -> bool {
        self.waiting.len() < MOST
    }

    /// Appends an event. `position` is where to go on when the broker has it.
    pub fn push(&mut self, event: Vec<u8>, position: Option<Resume>) {
        self.waiting.push_back((event, position));
    }

    /// Appends an event that nobody asks for again, if there is room for it.
    pub fn offer(&mut self, event: Vec<u8>) {
        if self.has_room() {
            self.push(event, None);
        }
    }

    /// The event to publish now, if there is one; it counts as sent then.
    pub fn send(&mut self) -> Option<Vec<u8>> {
        if self.first != First::Unsent {
            return None;
        }
        let (event, _) = self.waiting.front()?;
        self.first = First::Sent;
        Some(event.clone())
    }

    /// What was sent was given a number.
    pub fn numbered(&mut self, number: u16) {
        if self.first == First::Sent {
            self.first = First::Numbered(number);
        }
    }

    /// The broker has the message with this number. Returns where to go on after it.
    pub fn acknowledged(&mut self, number: u16) -> Option<Resume> {
        if self.first != First::Numbered(number) {
            return None;
        }
        self.first = First::Unsent;
        self.waiting.pop_front().and_then(|(_, position)| position)
    }

    /// The connection was lost: what has no acknowledgement is sent again.
    pub fn lost(&mut self) {
        self.first = First::Unsent;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(sequence: u64) -> Option<Resume> {
        Some(Resume {
            instance: "a".to_owned(),
            sequence,
        })
    }

    #[test]
    fn each_event_is_sent_until_it_is_acknowledged() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.send(), None);
        outbox.push(b"1".to_vec(), position(1));
        outbox.push(b"2".to_vec(), position(2));
        assert_eq!(outbox.send(), Some(b"1".to_vec()));
        assert_eq!(outbox.send(), None);
        outbox.numbered(7);
        outbox.lost();
        // An acknowledgement from before says nothing any more.
        assert_eq!(outbox.acknowledged(7), None);
        assert_eq!(outbox.send(), Some(b"1".to_vec()));
        outbox.numbered(8);
        assert_eq!(outbox.acknowledged(8), position(1));
        assert_eq!(outbox.send(), Some(b"2".to_vec()));
        outbox.numbered(9);
        assert_eq!(outbox.acknowledged(9), position(2));
        assert_eq!(outbox.send(), None);
    }

    #[test]
    fn a_full_outbox_says_so() {
        let mut outbox = Outbox::default();
        (0..MOST).for_each(|_| outbox.push(Vec::new(), None));
        assert!(!outbox.has_room());
    }
}
