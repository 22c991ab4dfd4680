//! Requests as they come, and the answers to those that are nothing but a line.

use northstar_api::codec::{decode, decode_envelope};
use northstar_api::{Container, Envelope, Message, Request, Response, VerificationResult};
use northstar_manifest::Permission;

use super::{End, Model};
use crate::targets::session::fits::{Fits, known};
use crate::targets::session::play::SPEAKER;
use crate::targets::session::stage;

impl Model<'_, '_> {
    /// Takes one request into account.
    pub(super) fn request(&mut self) -> Option<End> {
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
