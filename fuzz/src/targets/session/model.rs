//! What a conversation has to come to, worked out from the bytes of the client alone.
//!
//! The codec says what a line is; it has a target of its own. Everything that follows from it is written here a second
//! time, as `docs/console.md` has it.

use std::collections::BTreeMap;

use glob::Pattern;
use northstar_api::codec::{decode, decode_envelope};
use northstar_api::{
    Connect, ConnectNack, Container, Envelope, Error, Extensions, InstallResult, Message, Request,
    Response, VerificationResult,
};
use northstar_manifest::Permission;
use northstar_runtime::config::RepositoryId;

use super::fits::{Fits, known};
use super::play::{Play, SPEAKER};
use super::stage;

/// Longest first line in bytes.
const LONGEST_CONNECT: usize = 4096;

/// Characters of a name that can be none in an answer.
const LONGEST_ECHO: usize = 256;

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

fn greeting(play: &Play<'_>, stream: &mut Stream<'_>) -> Greeting {
    let Some(line) = stream.line(LONGEST_CONNECT) else {
        return Greeting::Nothing;
    };
    let connect = match decode(line) {
        Ok(Message::Connect(connect)) => connect,
        Ok(_) => return Greeting::Nothing,
        // It may be wrong in its extensions only.
        Err(_) if line.trim_ascii_start().starts_with(b"{") => return Greeting::NothingOrRefusal,
        Err(_) => return Greeting::Nothing,
    };
    let version = &connect.version;
    if version.major != 0
        || version.minor < 9
        || (version.minor, version.patch) == (9, 0) && !version.pre.is_empty()
    {
        let version = northstar_api::VERSION;
        return Greeting::Refusal(ConnectNack::InvalidProtocolVersion { version });
    }
    if !connect.subscribe_notifications {
        return Greeting::Welcome(Box::new(connect));
    }
    if !play.permissions.contains(Permission::Notifications) {
        return Greeting::Refusal(ConnectNack::PermissionDenied);
    }
    let filter = connect
        .extensions
        .as_ref()
        .and_then(|asked| asked.filter.as_ref());
    let patterns = filter.map_or(&[][..], |filter| &filter.containers);
    let is_good = |pattern: &String| pattern.len() <= 128 && Pattern::new(pattern).is_ok();
    match patterns.len() <= 64 && patterns.iter().all(is_good) {
        true => Greeting::Welcome(Box::new(connect)),
        false => Greeting::Filter,
    }
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
    /// Takes one request into account.
    fn request(&mut self) -> Option<End> {
        if self.stream.0.is_empty() {
            return Some(End::Silence);
        }
        let Some(line) = self.stream.line(self.play.options.max_request_size) else {
            return Some(End::Cut);
        };
        let envelope = match self.terms.ids {
            true => decode_envelope(line),
            false => decode(line).map(Envelope::from),
        };
        let Ok(Envelope {
            id,
            sequence: None,
            message: Message::Request(request),
        }) = envelope
        else {
            return Some(End::Cut);
        };
        let is_unknown = match &request {
            Request::Cancel { .. } => !self.terms.jobs,
            Request::Statistics { .. } | Request::RepositoryDetails => !self.terms.details,
            _ => false,
        };
        if is_unknown && !self.terms.is_extended {
            return Some(End::Cut);
        }
        if is_unknown {
            self.answer(id, Fits::Unexpected, false);
            return None;
        }
        let permission = permission(&request);
        let is_allowed = permission.is_none_or(|needed| self.play.permissions.contains(needed));
        if let Some(id) = id {
            let uses = self.ids.entry(id).or_default();
            *uses += 1;
            if *uses > 1 {
                self.expected.is_vague = true;
                // If its id is in use, the package that follows ends everything.
                if matches!(request, Request::Install { .. }) {
                    self.uncertain();
                }
            }
        }
        match request {
            Request::Install { repository, size } => self.install(id, is_allowed, repository, size),
            request if !is_allowed => {
                self.answer(id, Fits::is(Response::PermissionDenied(request)), false);
                None
            }
            request => {
                self.perform(id, request);
                None
            }
        }
    }

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

    fn perform(&mut self, id: Option<u64>, request: Request) {
        let mut is_job = false;
        let fits = match request {
            Request::Ident => {
                let name = if self.play.is_container {
                    SPEAKER
                } else {
                    "extern:0.0.0"
                };
                Fits::is(Response::Ident(name.parse().expect("a container")))
            }
            Request::List => {
                self.ask("list ".to_owned());
                let listed = stage::LISTED.map(|name| name.parse().expect("a container"));
                Fits::is(Response::List(listed.to_vec()))
            }
            Request::Repositories => {
                self.ask("repositories ".to_owned());
                let names = stage::REPOSITORIES.map(str::to_owned);
                Fits::is(Response::Repositories(names.to_vec()))
            }
            Request::RepositoryDetails => Fits::Details,
            Request::Inspect { container } => {
                self.ask(format!("inspect {container}"));
                Fits::Inspect(container)
            }
            Request::Statistics { containers } => {
                if containers.is_empty() {
                    // How long the answer will be.
                    self.ask("list ".to_owned());
                }
                self.ask(format!("inspect {}", containers.len()));
                Fits::Statistics(containers.into_iter().filter(stage::is_known).collect())
            }
            Request::Mount { containers } => {
                is_job = true;
                self.ask_each("mount", &containers);
                Fits::Mount(containers)
            }
            Request::Umount { containers } => {
                is_job = true;
                self.ask_each("umount", &containers);
                Fits::Umount(containers)
            }
            Request::Start {
                container,
                init,
                arguments,
                environment,
            } => {
                is_job = true;
                let is_plain = init.is_none() && arguments.is_empty() && environment.is_empty();
                let word = if is_plain { "start" } else { "start_command" };
                self.ask(format!("{word} {container}"));
                Fits::is(Response::Start(known(container)))
            }
            Request::Kill { container, signal } => {
                self.ask(format!("kill {container} {signal}"));
                Fits::is(Response::Kill(known(container)))
            }
            Request::Uninstall { container, wipe } => {
                is_job = true;
                self.ask(format!("uninstall {container} {wipe}"));
                Fits::is(Response::Uninstall(known(container)))
            }
            Request::TokenCreate { .. } => Fits::Token,
            // Nobody guesses one.
            Request::TokenVerify { .. } => {
                Fits::is(Response::TokenVerification(VerificationResult::Invalid))
            }
            Request::Cancel { id: other } => {
                let is_used = self.ids.contains_key(&other);
                if is_used {
                    self.ask(" cancelled".to_owned());
                    self.expected.is_vague = true;
                }
                Fits::Cancel { id: other, is_used }
            }
            Request::Shutdown => {
                self.ask("shutdown ".to_owned());
                self.answer(id, Fits::is(Response::Shutdown), false);
                if self.play.stage.ends_daemon {
                    self.uncertain();
                }
                return;
            }
            Request::Install { .. } => unreachable!("installs have bytes of their own"),
        };
        self.answer(id, fits, is_job);
    }

    fn ask_each(&mut self, word: &str, containers: &[Container]) {
        for container in containers {
            self.ask(format!("{word} {container}"));
        }
    }

    fn install(
        &mut self,
        id: Option<u64>,
        is_allowed: bool,
        repository: String,
        size: u64,
    ) -> Option<End> {
        let details = self.terms.details;
        let error = |error| Fits::is(Response::Install(InstallResult::Error { error }));
        let plain = |exact| {
            if details {
                error(exact)
            } else {
                Fits::InstallUnexpected
            }
        };
        let denied = |repository| {
            let request = Request::Install { repository, size };
            Fits::is(Response::PermissionDenied(request))
        };
        // A name that can be none is repeated in short, where a package came with it.
        let short: String = repository.chars().take(LONGEST_ECHO).collect();
        let limit = self.play.options.max_npk_install_size;
        if size > limit {
            let answer = match is_allowed {
                true => plain(Error::InstallTooLarge { size, limit }),
                false => denied(repository),
            };
            self.answer(id, answer, true);
            return Some(End::Cut);
        }
        let package = self.stream.raw(size);
        if !is_allowed {
            // Where the package has no end, nobody waits for the answer.
            package?;
            self.answer(id, denied(short), true);
            return None;
        }
        let repository_id = repository.parse::<RepositoryId>().ok();
        if repository_id.is_some() {
            self.ask(format!("install {repository} {size}"));
        }
        if repository == "default" {
            self.expected.packages.push(package);
        }
        if package.is_none() {
            self.answer(
                id,
                Fits::NotReceived {
                    repository,
                    details,
                },
                true,
            );
            return Some(End::Cut);
        }
        let fits = match repository.as_str() {
            "default" => Fits::is(Response::Install(InstallResult::Ok {
                container: stage::INSTALLED.parse().expect("a container"),
            })),
            "deaf" => error(Error::InstallDuplicate {
                container: stage::DUPLICATE.parse().expect("a container"),
            }),
            "full" => plain(Error::TooManyInstalls {
                limit: stage::MOST_INSTALLS as u32,
            }),
            _ => error(Error::InvalidRepository { repository: short }),
        };
        let fits = match self.play.is_patient() {
            true => fits,
            // The pause may be in the package, and too long.
            false => Fits::Late {
                complete: Box::new(fits),
                broken: Box::new(Fits::NotReceived {
                    repository,
                    details,
                }),
            },
        };
        self.answer(id, fits, true);
        None
    }
}

/// The permission that a request needs.
fn permission(request: &Request) -> Option<Permission> {
    let word = match request {
        Request::Cancel { .. } => return None,
        Request::Ident => "ident",
        Request::Inspect { .. } | Request::Statistics { .. } => "inspect",
        Request::Install { .. } => "install",
        Request::Kill { .. } => "kill",
        Request::List => "list",
        Request::Mount { .. } => "mount",
        Request::Repositories | Request::RepositoryDetails => "repositories",
        Request::Shutdown => "shutdown",
        Request::Start {
            init,
            arguments,
            environment,
            ..
        } => match init.is_some() || !arguments.is_empty() || !environment.is_empty() {
            true => "start_command",
            false => "start",
        },
        Request::TokenCreate { .. } => "token_create",
        Request::TokenVerify { .. } => "token_verification",
        Request::Umount { .. } => "umount",
        Request::Uninstall { .. } => "uninstall",
    };
    Some(word.parse().expect("a permission"))
}
