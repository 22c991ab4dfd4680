//! Compares what came of a conversation with what has to.

mod answers;
mod notifications;

use northstar_api::codec::{decode, decode_envelope};
use northstar_api::{Connect, ConnectNack, Envelope, Extension, Granted, Message, Notification};
use northstar_manifest::Permission;

use super::model::{Expected, Greeting, Terms};
use super::play::{Heard, Play};
use answers::Answers;
use notifications::wanted;

/// Asserts that it is what has to come of it.
///
/// # Panics
/// It is not.
pub fn check(play: &Play<'_>, expected: &Expected<'_>, heard: &Heard) {
    permissions(play, heard);
    questions(play, expected, heard);
    packages(play, expected, heard);
    let mut lines = lines(play, heard).into_iter();
    let first = lines.next();
    let Some(connect) = greeting(play, expected, first) else {
        assert_eq!(lines.next(), None, "something after a refusal");
        return;
    };
    let mut listener = Listener {
        expected,
        terms: Terms::of(connect),
        answers: Answers::new(expected),
        wanted: wanted(connect, &heard.told.events).into(),
        is_forgetful: play.stage.is_forgetful,
    };
    for line in lines {
        listener.hear(line);
    }
    if play.is_patient() {
        listener.answers.complete();
        listener.told_everything();
    }
}

/// Nobody asks what it has no permission for, whatever the model says. That `inspect` counts the containers tells nothing
/// that it does not tell anyway.
fn permissions(play: &Play<'_>, heard: &Heard) {
    for question in &heard.told.questions {
        let word = question.split(' ').next().unwrap_or_default();
        let is_allowed = match word.parse::<Permission>() {
            Ok(Permission::List) => {
                let mut enough = [Permission::List, Permission::Inspect].into_iter();
                enough.any(|permission| play.permissions.contains(permission))
            }
            Ok(permission) => play.permissions.contains(permission),
            Err(_) => word.is_empty(),
        };
        assert!(is_allowed, "{question} without permission");
    }
}

/// The supervisor is asked what the client asks, and nothing else.
fn questions(play: &Play<'_>, expected: &Expected<'_>, heard: &Heard) {
    let mut left = expected.questions.iter().collect::<Vec<_>>();
    left.sort_unstable();
    for question in &heard.told.questions {
        let found = left.binary_search(&question);
        let found = found.unwrap_or_else(|_| panic!("nobody asked {question}"));
        left.remove(found);
    }
    let with_ids = expected.answers.iter().any(|answer| answer.id.is_some());
    let is_exact = play.is_patient() && !expected.is_vague && !(expected.is_cut && with_ids);
    assert!(left.is_empty() || !is_exact, "never asked: {left:?}");
}

/// A package gets there whole or not at all.
fn packages(play: &Play<'_>, expected: &Expected<'_>, heard: &Heard) {
    let mut packages = expected.packages.iter();
    let is_exact = play.is_patient() && !expected.is_cut;
    for found in &heard.told.packages {
        let package = packages.next().expect("an install for each package");
        match (package, found) {
            (Some(package), Some(found)) => assert!(package == found, "another package"),
            (None, Some(_)) => panic!("a package that never ended"),
            (Some(_), None) => assert!(!is_exact, "a package was lost"),
            (None, None) => {}
        }
    }
    assert!(!is_exact || packages.next().is_none(), "no package came");
}

/// The lines that came back, whole ones only.
fn lines<'a>(play: &Play<'_>, heard: &'a Heard) -> Vec<&'a [u8]> {
    let mut lines: Vec<&[u8]> = heard.bytes.split(|byte| *byte == b'\n').collect();
    let rest = lines.pop().unwrap_or_default();
    assert!(rest.is_empty() || !play.is_patient(), "half a line");
    lines
}

/// Returns what the client has asked for, if it was let in.
fn greeting<'a>(
    play: &Play<'_>,
    expected: &'a Expected<'_>,
    line: Option<&[u8]>,
) -> Option<&'a Connect> {
    let message = line.map(|line| decode(line).expect("a message"));
    match (&expected.greeting, message) {
        (Greeting::Nothing | Greeting::NothingOrRefusal, None) => None,
        (Greeting::NothingOrRefusal, Some(Message::ConnectNack(_))) => None,
        (Greeting::Refusal(refusal), Some(Message::ConnectNack(found))) => {
            assert_eq!(*refusal, found);
            None
        }
        (
            Greeting::Filter,
            Some(Message::ConnectNack(ConnectNack::InvalidExtension { extension, .. })),
        ) => {
            assert_eq!(extension, "filter");
            None
        }
        (Greeting::Welcome(connect), Some(Message::ConnectAck(acknowledgement))) => {
            match acknowledgement.0 {
                None => assert!(!Terms::of(connect).is_extended),
                Some(granted) => check_terms(play, Terms::of(connect), &granted),
            }
            Some(connect)
        }
        (_, None) if !play.is_patient() => None,
        (greeting, found) => panic!("{greeting:?}, not {found:?}"),
    }
}

fn check_terms(play: &Play<'_>, terms: Terms, granted: &Granted) {
    assert!(terms.is_extended);
    let all = [
        (terms.ids, Extension::Ids),
        (terms.jobs, Extension::Jobs),
        (terms.sequence, Extension::Sequence),
        (terms.details, Extension::Details),
        (terms.filter, Extension::Filter),
    ];
    let asked = all
        .iter()
        .filter(|(asked, _)| *asked)
        .map(|(_, extension)| *extension);
    assert!(asked.eq(granted.extensions.iter().copied()), "{granted:?}");
    assert_eq!((granted.sequence, granted.resumed), (0, false));
    let limits = &granted.limits;
    assert_eq!(
        limits.max_request_size,
        play.options.max_request_size as u64
    );
    assert_eq!(
        limits.max_npk_install_size,
        play.options.max_npk_install_size
    );
}

/// Listens to what comes after the greeting.
struct Listener<'a> {
    expected: &'a Expected<'a>,
    terms: Terms,
    answers: Answers<'a>,
    /// Notifications that are still to come, if there are any at all.
    wanted: std::collections::VecDeque<Envelope>,
    is_forgetful: bool,
}

impl Listener<'_> {
    fn hear(&mut self, line: &[u8]) {
        let envelope = decode_envelope(line).expect("a message");
        if !self.terms.is_extended {
            let message = decode(line).expect("a message of 0.9.2");
            assert_eq!(Envelope::from(message), envelope);
        }
        match &envelope.message {
            Message::Response(response) => {
                assert_eq!(envelope.sequence, None);
                self.answers.hear(envelope.id, response);
            }
            Message::Progress(progress) => {
                let id = envelope.id.expect("progress of a request with an id");
                assert!(
                    self.terms.jobs && self.answers.is_job(id),
                    "{progress:?} of {id}"
                );
            }
            Message::Notification(Notification::Lagged { missed }) => {
                assert!(self.terms.sequence && self.is_forgetful && *missed > 0);
            }
            Message::Notification(_) => self.notified(&envelope),
            other => panic!("{other:?}"),
        }
    }

    fn notified(&mut self, envelope: &Envelope) {
        while let Some(wanted) = self.wanted.pop_front() {
            if wanted == *envelope {
                return;
            }
            assert!(self.is_forgetful, "{envelope:?}, not {wanted:?}");
        }
        panic!("{envelope:?} was not to be told");
    }

    /// All that was to be told was, but for the end of the daemon, which comes after the last answer.
    fn told_everything(&self) {
        let shutdown = Message::Notification(Notification::Shutdown);
        let missing = self.wanted.iter().find(|wanted| wanted.message != shutdown);
        assert!(
            self.expected.is_cut || missing.is_none(),
            "{missing:?} was not told"
        );
    }
}
