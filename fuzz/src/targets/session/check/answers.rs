//! Every request has one answer, and the right one.

use std::collections::BTreeMap;

use northstar_api::{Error, Response};

use crate::targets::session::model::Expected;

/// The answers that are still to come.
pub(super) struct Answers<'a> {
    expected: &'a Expected<'a>,
    /// The first one without an id that has not come.
    plain: usize,
    /// Those with an id that have not come.
    with_id: BTreeMap<u64, Vec<usize>>,
    /// How many requests there are with an id.
    uses: BTreeMap<u64, usize>,
}

impl<'a> Answers<'a> {
    pub(super) fn new(expected: &'a Expected<'a>) -> Answers<'a> {
        let mut with_id = BTreeMap::<u64, Vec<usize>>::new();
        for (index, answer) in expected.answers.iter().enumerate() {
            if let Some(id) = answer.id {
                with_id.entry(id).or_default().push(index);
            }
        }
        let uses = with_id.iter().map(|(id, all)| (*id, all.len())).collect();
        let mut answers = Answers {
            expected,
            plain: 0,
            with_id,
            uses,
        };
        answers.skip();
        answers
    }

    /// Goes on to the next one without an id.
    fn skip(&mut self) {
        let rest = self.expected.answers.iter().skip(self.plain);
        self.plain += rest.take_while(|answer| answer.id.is_some()).count();
    }

    fn fits(&self, index: usize, response: &Response) -> bool {
        let answer = &self.expected.answers[index];
        answer.fits.fits(response, self.expected.is_vague)
    }

    pub(super) fn hear(&mut self, id: Option<u64>, response: &Response) {
        let Some(id) = id else {
            let answer = self.expected.answers.get(self.plain);
            let answer = answer.unwrap_or_else(|| panic!("nobody asked for {response:?}"));
            assert!(
                self.fits(self.plain, response),
                "{response:?}, not {answer:?}"
            );
            self.plain += 1;
            return self.skip();
        };
        let waiting = self.with_id.get(&id).cloned().unwrap_or_default();
        let is_reused = self.uses.get(&id).is_some_and(|uses| *uses > 1);
        let is_duplicate = *response == Response::Error(Error::DuplicateId { id });
        let found = match is_reused {
            // Which one it was nobody knows.
            true if is_duplicate => waiting.len().checked_sub(1),
            true if waiting.is_empty() => None,
            true => {
                let all = self.expected.answers.iter().enumerate();
                let mut same = all.filter(|(_, answer)| answer.id == Some(id));
                same.any(|(index, _)| self.fits(index, response))
                    .then_some(0)
            }
            false => waiting.iter().position(|index| self.fits(*index, response)),
        };
        let found = found.unwrap_or_else(|| panic!("nobody asked for {id}: {response:?}"));
        let index = waiting[found];
        // Whoever has no id is answered before the next line is read.
        assert!(is_reused || self.plain > index, "{id} is too early");
        if let Some(waiting) = self.with_id.get_mut(&id) {
            waiting.remove(found);
        }
    }

    /// A request with this id is still to be answered, and it takes its time.
    pub(super) fn is_job(&self, id: u64) -> bool {
        let waiting = self.with_id.get(&id).into_iter().flatten();
        let is_reused = self.uses.get(&id).is_some_and(|uses| *uses > 1);
        waiting.count() > 0 && (is_reused || self.expected.answers[self.with_id[&id][0]].is_job)
    }

    /// Every request has its answer.
    pub(super) fn complete(&self) {
        let certain = self.expected.certain;
        let count = self.expected.answers.len();
        assert!(
            self.plain >= certain.min(count),
            "no answer to {}",
            self.plain
        );
        let missing = self.with_id.values().flatten();
        let missing = missing.filter(|index| **index < certain).count();
        assert!(
            self.expected.is_cut || missing == 0,
            "{missing} answers are missing"
        );
    }
}
