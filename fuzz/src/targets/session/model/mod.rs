//! What a conversation has to come to, worked out from the bytes of the client alone.
//!
//! The codec says what a line is; it has a target of its own. Everything that follows from it is written here a second
//! time, as `docs/console.md` has it.

mod greeting;
mod install;
mod requests;

use std::collections::BTreeMap;

use northstar_api::{Connect, ConnectNack, Extensions};

use super::fits::Fits;
use super::play::Play;
use greeting::greeting;

/// The first line that comes back.
#[derive(Debug)]
pub enum Greeting {
    /// There is none.
    Nothing,
    /// If there is one, it is a refusal.
    NothingOrRefusal,
    Refusal(ConnectNack),
    /// A refusal of the filter, with any words.
    Filter,
    Welcome(Box<Connect>),
}

/// The answer to one request.
#[derive(Debug)]
pub struct Answer {
    pub id: Option<u64>,
    pub fits: Fits,
    /// It can tell how far it has come.
    pub is_job: bool,
}

/// A whole conversation.
#[derive(Debug)]
pub struct Expected<'a> {
    pub greeting: Greeting,
    /// In the order of the requests.
    pub answers: Vec<Answer>,
    /// From this answer on there may be none.
    pub certain: usize,
    /// Answers with an id may be missing, because the conversation ended before.
    pub is_cut: bool,
    /// What the supervisor is asked.
    pub questions: Vec<String>,
    /// What is asked may be less, because something was cancelled or had an id that was in use.
    pub is_vague: bool,
    /// The packages for `default`, or none where one has no end.
    pub packages: Vec<Option<&'a [u8]>>,
}

/// What the client has asked for in `connect`, and gets.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms {
    pub is_extended: bool,
    pub ids: bool,
    pub jobs: bool,
    pub sequence: bool,
    pub details: bool,
    pub filter: bool,
}

impl Terms {
    pub fn of(connect: &Connect) -> Terms {
        let subscribed = connect.subscribe_notifications;
        let Some(asked) = &connect.extensions else {
            return Terms::default();
        };
        let Extensions {
            ids,
            jobs,
            sequence,
            details,
            filter,
            ..
        } = &**asked;
        Terms {
            is_extended: true,
            ids: *ids,
            jobs: *ids && *jobs,
            sequence: *sequence && subscribed,
            details: *details,
            filter: filter.is_some() && subscribed,
        }
    }
}

/// What is left of the client's bytes.
struct Stream<'a>(&'a [u8]);

impl<'a> Stream<'a> {
    /// The next line without its end, unless it is too long or has none.
    fn line(&mut self, longest: usize) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == b'\n')?;
        let (line, rest) = self.0.split_at(end);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.0 = &rest[1..];
        (line.len() <= longest).then_some(line)
    }

    /// Raw bytes, if all of them are there.
    fn raw(&mut self, size: u64) -> Option<&'a [u8]> {
        let size = usize::try_from(size).ok()?;
        let (raw, rest) = self.0.split_at_checked(size)?;
        self.0 = rest;
        Some(raw)
    }
}

/// Why there are no more requests.
enum End {
    /// The client has nothing to say any more.
    Silence,
    /// It is disconnected.
    Cut,
}

/// What has to come of a conversation.
pub fn expected<'a>(play: &Play<'a>) -> Expected<'a> {
    let mut stream = Stream(play.stream);
    let greeting = greeting(play, &mut stream);
    let terms = match &greeting {
        Greeting::Welcome(connect) => Some(Terms::of(connect)),
        _ => None,
    };
    let mut model = Model {
        play,
        terms: terms.unwrap_or_default(),
        stream,
        ids: BTreeMap::new(),
        expected: Expected {
            greeting,
            answers: Vec::new(),
            certain: usize::MAX,
            is_cut: false,
            questions: Vec::new(),
            is_vague: false,
            packages: Vec::new(),
        },
    };
    if terms.is_some() {
        let end = loop {
            if let Some(end) = model.request() {
                break end;
            }
        };
        model.expected.is_cut |= matches!(end, End::Cut);
    }
    model.expected
}

struct Model<'p, 'a> {
    play: &'p Play<'a>,
    terms: Terms,
    stream: Stream<'a>,
    /// How often each id was used.
    ids: BTreeMap<u64, usize>,
    expected: Expected<'a>,
}

impl Model<'_, '_> {
    /// There may be no further answer.
    fn uncertain(&mut self) {
        let count = self.expected.answers.len();
        self.expected.certain = self.expected.certain.min(count);
        self.expected.is_cut = true;
        self.expected.is_vague = true;
    }

    fn answer(&mut self, id: Option<u64>, fits: Fits, is_job: bool) {
        self.expected.answers.push(Answer { id, fits, is_job });
    }

    fn ask(&mut self, question: String) {
        self.expected.questions.push(question);
    }
}
