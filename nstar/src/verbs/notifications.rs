//! `notifications`

use std::collections::BTreeSet;

use clap::{Args, ValueEnum};
use clap_complete::ArgValueCompleter;
use futures::StreamExt;
use northstar_api::{
    self as api, CGroupNotification, Container, MemoryNotification, Message, Notification,
};
use northstar_client::Missed;

use crate::{
    complete,
    failure::Failure,
    output::{self, Reader},
    resolve::{Target, means},
    session::Session,
    verbs::exits,
};

/// Print what happens, until interrupted.
#[derive(Debug, Args)]
#[command(after_help = "\
With --timeout nstar ends by then: with 0, or with 6 if fewer than COUNT notifications came.

Examples:
  nstar notifications
  nstar events 'app*' --kind exit --kind cgroup
  nstar --json events --number 1 --timeout 10s hello-world")]
pub struct Notifications {
    /// End after this many notifications.
    #[arg(short, long, value_name = "COUNT")]
    number: Option<usize>,
    /// Only notifications of this kind; may be given several times.
    #[arg(short, long, value_enum, value_name = "KIND")]
    kind: Vec<Kind>,
    /// Only notifications about these containers, as NAME, NAME:VERSION or a pattern.
    #[arg(value_name = "CONTAINER", add = ArgValueCompleter::new(complete::containers))]
    containers: Vec<Target>,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Kind {
    /// A container was started.
    Started,
    /// A container has ended.
    Exit,
    /// An image was mounted.
    Mounted,
    /// An image was unmounted.
    Umounted,
    /// A container was installed.
    Install,
    /// A container was uninstalled.
    Uninstall,
    /// A control group reports something, as a lack of memory.
    Cgroup,
    /// The daemon ends.
    Shutdown,
}

/// The kind, which a notification about the connection itself has not, and the container.
fn describe(notification: &Notification) -> (Option<Kind>, Option<&Container>) {
    let (kind, container) = match notification {
        Notification::Started(container) => (Kind::Started, container),
        Notification::Exit(container, _) => (Kind::Exit, container),
        Notification::Mounted(container) => (Kind::Mounted, container),
        Notification::Umounted(container) => (Kind::Umounted, container),
        Notification::Install(container) => (Kind::Install, container),
        Notification::Uninstall(container) => (Kind::Uninstall, container),
        Notification::CGroup(container, _) => (Kind::Cgroup, container),
        Notification::Shutdown => return (Some(Kind::Shutdown), None),
        Notification::Lagged { .. } => return (None, None),
    };
    (Some(kind), Some(container))
}

/// Which notifications are shown.
struct Filter {
    kinds: BTreeSet<Kind>,
    containers: Vec<Target>,
}

impl Filter {
    fn passes(&self, notification: &Notification) -> bool {
        let (Some(kind), container) = describe(notification) else {
            return true;
        };
        let is_kind = self.kinds.is_empty() || self.kinds.contains(&kind);
        let is_container = self.containers.is_empty()
            || container.is_some_and(|container| {
                self.containers
                    .iter()
                    .any(|target| means(target, container))
            });
        is_kind && is_container
    }
}

/// Most patterns that a daemon takes, and the longest of them in bytes.
const MOST_PATTERNS: usize = 64;
const LONGEST_PATTERN: usize = 128;

impl From<Kind> for api::Kind {
    fn from(kind: Kind) -> api::Kind {
        match kind {
            Kind::Started => api::Kind::Started,
            Kind::Exit => api::Kind::Exit,
            Kind::Mounted => api::Kind::Mounted,
            Kind::Umounted => api::Kind::Umounted,
            Kind::Install => api::Kind::Install,
            Kind::Uninstall => api::Kind::Uninstall,
            Kind::Cgroup => api::Kind::CGroup,
            Kind::Shutdown => api::Kind::Shutdown,
        }
    }
}

impl Notifications {
    /// What the daemon need not send. It may send more than is shown: its patterns are for versions too, and that it ends is
    /// always worth knowing. `None` if there is nothing to leave out, or more is written than it takes.
    pub fn filter(&self) -> Option<api::Filter> {
        let containers: Vec<String> = self.containers.iter().map(pattern).collect();
        let mut kinds: Vec<api::Kind> = self.kind.iter().copied().map(api::Kind::from).collect();
        if !kinds.is_empty() {
            kinds.push(api::Kind::Shutdown);
        }
        let fits = containers.len() <= MOST_PATTERNS
            && containers.iter().all(|it| it.len() <= LONGEST_PATTERN);
        let filter = api::Filter { containers, kinds };
        (fits && filter != api::Filter::default()).then_some(filter)
    }

    /// Whether it goes on until it is interrupted.
    pub fn is_endless(&self) -> bool {
        self.number.is_none()
    }

    pub async fn run(self, session: &Session) -> Result<(), Failure> {
        let filter = Filter {
            kinds: self.kind.into_iter().collect(),
            containers: self.containers,
        };
        let mut notifications = session.notifications();
        let mut remaining = self.number;
        let mut is_shutdown = false;
        while remaining != Some(0) {
            let notification = match notifications.next().await {
                Some(Ok(notification)) => notification,
                Some(Err(Missed { count })) => {
                    output::remark(&format!("{count} notifications were missed"));
                    continue;
                }
                // A daemon that says that it ends may close the connection.
                None if is_shutdown => break,
                None => return Err(Failure::Lost),
            };
            is_shutdown |= notification == Notification::Shutdown;
            if !filter.passes(&notification) {
                continue;
            }
            remaining = remaining.map(|remaining| remaining.saturating_sub(1));
            let reader = if session.is_json() {
                output::print_json(&json(notification)?)
            } else {
                output::print(&output::harmless(&words(&notification)))
            };
            if reader? == Reader::Gone {
                break;
            }
        }
        Ok(())
    }
}

/// A pattern of the daemon for all that a target means.
fn pattern(target: &Target) -> String {
    match target {
        Target::Pattern(pattern) => pattern.to_string(),
        // There is nothing in them that a pattern takes for something else.
        Target::Exact(container) => container.to_string(),
        Target::Name(name) => name.to_string(),
    }
}

fn json(notification: Notification) -> Result<String, Failure> {
    serde_json::to_string(&Message::Notification(notification)).map_err(|error| Failure::Output {
        source: error.into(),
    })
}

fn words(notification: &Notification) -> String {
    match notification {
        Notification::Started(container) => format!("started {container}"),
        Notification::Exit(container, exit) => {
            format!("exit {container} {}", exits::words(exit))
        }
        Notification::Mounted(container) => format!("mounted {container}"),
        Notification::Umounted(container) => format!("umounted {container}"),
        Notification::Lagged { missed } => format!("lagged {missed}"),
        Notification::Install(container) => format!("install {container}"),
        Notification::Uninstall(container) => format!("uninstall {container}"),
        Notification::CGroup(container, CGroupNotification::Memory(memory)) => {
            format!("cgroup {container} memory{}", counters(memory))
        }
        Notification::Shutdown => "shutdown".to_owned(),
    }
}

fn counters(memory: &MemoryNotification) -> String {
    let MemoryNotification {
        low,
        high,
        max,
        oom,
        oom_kill,
    } = memory;
    [
        ("low", low),
        ("high", high),
        ("max", max),
        ("oom", oom),
        ("oom_kill", oom_kill),
    ]
    .into_iter()
    .filter_map(|(name, counter)| counter.map(|counter| format!(" {name} {counter}")))
    .collect()
}

#[cfg(test)]
mod tests {
    use northstar_api::ExitStatus;

    use super::*;

    #[test]
    fn filters_by_kind_and_container() {
        let started = |c: &str| Notification::Started(c.parse().unwrap());
        let exit =
            |c: &str| Notification::Exit(c.parse().unwrap(), ExitStatus::Exit { code: 0 }.into());
        let filter = |kinds: &[Kind], containers: &[&str]| Filter {
            kinds: kinds.iter().copied().collect(),
            containers: containers.iter().map(|c| c.parse().unwrap()).collect(),
        };
        let all = filter(&[], &[]);
        assert!(all.passes(&started("a:0.0.1")) && all.passes(&Notification::Shutdown));
        let exits = filter(&[Kind::Exit], &["a*", "b:0.0.1"]);
        assert!(exits.passes(&exit("app:0.0.1")) && exits.passes(&exit("b:0.0.1")));
        assert!(!exits.passes(&exit("b:0.0.2")) && !exits.passes(&started("a:0.0.1")));
        assert!(!filter(&[], &["a"]).passes(&Notification::Shutdown));
        assert!(filter(&[], &["a"]).passes(&started("a:0.0.1")));
        // That something is missing is always worth telling.
        assert!(exits.passes(&Notification::Lagged { missed: 1 }));
    }

    #[test]
    fn notifications_in_words() {
        let c = || "a:0.0.1".parse().unwrap();
        let memory = MemoryNotification {
            oom: Some(2),
            oom_kill: Some(1),
            ..Default::default()
        };
        let cases = [
            (Notification::Started(c()), "started a:0.0.1"),
            (
                Notification::Exit(c(), ExitStatus::Exit { code: 7 }.into()),
                "exit a:0.0.1 code 7",
            ),
            (
                Notification::Exit(c(), ExitStatus::Signalled { signal: 9 }.into()),
                "exit a:0.0.1 signal 9 (SIGKILL)",
            ),
            (
                Notification::CGroup(c(), CGroupNotification::Memory(memory)),
                "cgroup a:0.0.1 memory oom 2 oom_kill 1",
            ),
            (Notification::Install(c()), "install a:0.0.1"),
            (Notification::Uninstall(c()), "uninstall a:0.0.1"),
            (Notification::Shutdown, "shutdown"),
        ];
        for (notification, text) in cases {
            assert_eq!(words(&notification), text);
        }
    }
}
