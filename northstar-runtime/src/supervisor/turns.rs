//! Whose turn it is. Who asks much waits for itself, and keeps nobody else waiting: origins take turns, and so do the
//! connections of one origin in the turns that it gets. What one connection asks stays in its order.

use std::{collections::VecDeque, sync::Arc};

/// Who asks. Clones are the same one, and [`Asker::default`] is one who has nothing to do with any other.
#[derive(Clone, Debug, Default)]
pub struct Asker {
    origin: Mark,
    connection: Mark,
}

/// Differs from all others of its time.
type Mark = Arc<()>;

impl Asker {
    /// Another connection of the same origin.
    pub fn another(&self) -> Asker {
        Asker {
            origin: Arc::clone(&self.origin),
            connection: Mark::default(),
        }
    }

    /// Whether both share the turns of one origin.
    #[cfg(any(test, feature = "played"))]
    pub fn is_of_origin(&self, other: &Asker) -> bool {
        Arc::ptr_eq(&self.origin, &other.origin)
    }

    /// Whether both are one connection.
    #[cfg(any(test, feature = "played"))]
    pub fn is(&self, other: &Asker) -> bool {
        Arc::ptr_eq(&self.connection, &other.connection)
    }
}

/// Queues that take turns: the first one is next. None of them is empty.
type Ring<T> = VecDeque<(Mark, VecDeque<T>)>;

/// What waits for its turn.
#[derive(Debug)]
pub(super) struct Turns<T> {
    origins: Ring<(Mark, VecDeque<T>)>,
    len: usize,
}

impl<T> Turns<T> {
    pub(super) const fn new() -> Turns<T> {
        Turns {
            origins: VecDeque::new(),
            len: 0,
        }
    }

    /// Lets something wait behind what the same one asked before.
    pub(super) fn push(&mut self, asker: &Asker, item: T) {
        queue(&mut self.origins, &asker.origin, |connections| {
            queue(connections, &asker.connection, |items| {
                items.push_back(item);
            });
        });
        self.len += 1;
    }

    /// What is next.
    pub(super) fn pop(&mut self) -> Option<T> {
        let item = turn(&mut self.origins, |connections| {
            turn(connections, VecDeque::pop_front)
        })?;
        self.len -= 1;
        Some(item)
    }

    /// Forgets what need not wait any more.
    pub(super) fn retain(&mut self, wanted: impl Fn(&T) -> bool) {
        keep(&mut self.origins, |connections| {
            keep(connections, |items| items.retain(&wanted));
        });
        let connections = self.origins.iter().flat_map(|(_, connections)| connections);
        self.len = connections.map(|(_, items)| items.len()).sum();
    }

    /// How much waits.
    pub(super) const fn len(&self) -> usize {
        self.len
    }
}

/// Adds to the queue with this mark, or to a new one whose turn is last.
fn queue<T>(ring: &mut Ring<T>, mark: &Mark, add: impl FnOnce(&mut VecDeque<T>)) {
    let found = ring.iter_mut().find(|(of, _)| Arc::ptr_eq(of, mark));
    if let Some((_, queue)) = found {
        return add(queue);
    }
    let mut queue = VecDeque::new();
    add(&mut queue);
    ring.push_back((Arc::clone(mark), queue));
}

/// Takes from the queue whose turn it is. Its next turn comes after those of all others.
fn turn<T, R>(ring: &mut Ring<T>, take: impl FnOnce(&mut VecDeque<T>) -> Option<R>) -> Option<R> {
    let (mark, mut queue) = ring.pop_front()?;
    let taken = take(&mut queue);
    if !queue.is_empty() {
        ring.push_back((mark, queue));
    }
    taken
}

/// Changes each queue, and forgets those that are empty then.
fn keep<T>(ring: &mut Ring<T>, change: impl Fn(&mut VecDeque<T>)) {
    ring.retain_mut(|(_, queue)| {
        change(queue);
        !queue.is_empty()
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all<T>(turns: &mut Turns<T>) -> Vec<T> {
        std::iter::from_fn(|| turns.pop()).collect()
    }

    #[test]
    fn origins_take_turns_and_so_do_their_connections() {
        let one = Asker::default();
        let (same, other) = (one.another(), Asker::default());
        let mut turns = Turns::new();
        for item in ["a1", "a2", "a3", "a4"] {
            turns.push(&one, item);
        }
        for item in ["b1", "b2"] {
            turns.push(&same, item);
        }
        for item in ["c1", "c2", "c3"] {
            turns.push(&other, item);
        }
        assert_eq!(turns.len(), 9);
        let order = ["a1", "c1", "b1", "c2", "a2", "c3", "b2", "a3", "a4"];
        assert_eq!(all(&mut turns), order);
    }

    #[test]
    fn who_comes_again_waits_for_all_others() {
        let [one, two, three] = [(); 3].map(|()| Asker::default());
        let mut turns = Turns::new();
        turns.push(&one, 1);
        turns.push(&two, 2);
        assert_eq!(turns.pop(), Some(1));
        turns.push(&three, 3);
        turns.push(&one, 1);
        assert_eq!(all(&mut turns), [2, 3, 1]);
    }

    proptest! {
        #[test]
        fn nobody_waits_longer_than_all_others_take_for_one(
            asked in prop::collection::vec((0..3_usize, 0..3_usize), 0..200),
            forgotten in 0..4_usize,
        ) {
            let origins = [(); 3].map(|()| Asker::default());
            let askers = origins.map(|origin| [(); 3].map(|()| origin.another()));
            let mut turns = Turns::new();
            for (number, (origin, connection)) in asked.iter().enumerate() {
                turns.push(&askers[*origin][*connection], (*origin, *connection, number));
            }
            turns.retain(|(origin, _, _)| *origin != forgotten);
            let waiting = asked.iter().filter(|(origin, _)| *origin != forgotten).count();
            prop_assert_eq!(turns.len(), waiting);
            let order = all(&mut turns);
            prop_assert_eq!(order.len(), waiting);
            for origin in 0..3 {
                let of_origin = |(_, item): &(usize, &(usize, usize, usize))| item.0 == origin;
                let places: Vec<_> = order.iter().enumerate().filter(of_origin).collect();
                for pair in places.windows(2) {
                    prop_assert!(pair[1].0 - pair[0].0 <= 3, "{order:?}");
                }
                let of_connection = |connection| {
                    let numbers = places.iter().map(|(_, item)| item);
                    numbers.filter(move |item| item.1 == connection).map(|item| item.2)
                };
                for connection in 0..3 {
                    prop_assert!(of_connection(connection).is_sorted());
                    let own: Vec<_> = (0..places.len()).filter(|place| places[*place].1.1 == connection).collect();
                    prop_assert!(own.windows(2).all(|pair| pair[1] - pair[0] <= 3), "{order:?}");
                }
            }
        }
    }
}
