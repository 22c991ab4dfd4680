//! `notifications`

use clap::Args;
use futures::StreamExt;
use northstar_api::{CGroupNotification, ExitStatus, MemoryNotification, Message, Notification};
use northstar_client::Missed;

use crate::{
    failure::Failure,
    output::{self, Reader},
    session::Session,
    verbs::kill::Signal,
};

/// Print what happens, until interrupted.
#[derive(Debug, Args)]
pub struct Notifications {
    /// End after this many notifications.
    #[arg(short, long, value_name = "COUNT")]
    number: Option<usize>,
}

impl Notifications {
    pub async fn run(self, session: &Session) -> Result<(), Failure> {
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
            remaining = remaining.map(|remaining| remaining.saturating_sub(1));
            let text = if session.is_json() {
                json(notification)?
            } else {
                words(&notification)
            };
            if output::print(&text)? == Reader::Gone {
                break;
            }
        }
        Ok(())
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
        Notification::Exit(container, exit) => match exit.status {
            ExitStatus::Exit { code } => format!("exit {container} code {code}"),
            ExitStatus::Signalled { signal } => {
                let signal = Signal(i32::try_from(signal).unwrap_or(i32::MAX));
                format!("exit {container} {signal}")
            }
        },
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
    use super::*;

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
