//! The notifications that a client is to be told, worked out from what happened.

use glob::Pattern;
use northstar_api::{Connect, Envelope, Exit, ExitReason, ExitStatus, Notification};
use northstar_runtime::supervisor::Event;

use crate::targets::session::model::Terms;

/// The notifications of all events that the client is to be told.
pub(super) fn wanted(connect: &Connect, events: &[Event]) -> Vec<Envelope> {
    if !connect.subscribe_notifications {
        return Vec::new();
    }
    let terms = Terms::of(connect);
    let filter = connect
        .extensions
        .as_ref()
        .and_then(|asked| asked.filter.as_ref());
    let passes = |event: &Event, notification: &Notification| {
        filter.is_none_or(|filter| {
            let kind = notification
                .kind()
                .is_some_and(|kind| filter.kinds.contains(&kind));
            let matches = |pattern: &String| {
                let pattern = Pattern::new(pattern).expect("a good pattern");
                event.container().is_none_or(|container| {
                    pattern.matches(container.name().as_ref())
                        || pattern.matches(&container.to_string())
                })
            };
            (filter.kinds.is_empty() || kind)
                && (filter.containers.is_empty() || filter.containers.iter().any(matches))
        })
    };
    let tell = |(index, event): (usize, &Event)| {
        let notification = notification(event, terms.details)?;
        passes(event, &notification).then(|| Envelope {
            id: None,
            sequence: terms.sequence.then_some(index as u64 + 1),
            message: notification.into(),
        })
    };
    events.iter().enumerate().filter_map(tell).collect()
}

fn notification(event: &Event, details: bool) -> Option<Notification> {
    Some(match event {
        Event::Mounted(_) | Event::Unmounted(_) if !details => return None,
        Event::Mounted(container) => Notification::Mounted(container.clone()),
        Event::Unmounted(container) => Notification::Umounted(container.clone()),
        Event::Started(container) => Notification::Started(container.clone()),
        Event::Uninstalled(container) => Notification::Uninstall(container.clone()),
        Event::Shutdown => Notification::Shutdown,
        // All of them end in the same way.
        Event::Exited(container, _) => {
            let exit = Exit {
                status: ExitStatus::Signalled { signal: 9 },
                reason: details.then_some(ExitReason::OwnSignal),
                requested_signal: None,
            };
            Notification::Exit(container.clone(), exit)
        }
        other => panic!("the supervisor does not tell {other:?}"),
    })
}
