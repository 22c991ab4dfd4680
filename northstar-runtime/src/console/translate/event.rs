//! What happened, as a notification tells it.

use crate::{
    console::{agreed::Agreed, filter::EventFilter},
    supervisor::{Event, Exit, ExitReason, ExitStatus, Lag, MemoryEvents, Numbered},
};
use northstar_api::{
    self as api, CGroupNotification, Envelope, Kind, MemoryNotification, Message, Notification,
};

/// What a filter calls an event.
pub(in crate::console) fn kind(event: &Event) -> Kind {
    match event {
        Event::Mounted(_) => Kind::Mounted,
        Event::Unmounted(_) => Kind::Umounted,
        Event::Started(_) => Kind::Started,
        Event::Exited(..) => Kind::Exit,
        Event::Installed(_) => Kind::Install,
        Event::Uninstalled(_) => Kind::Uninstall,
        Event::CgroupMemory(..) => Kind::CGroup,
        Event::Shutdown => Kind::Shutdown,
    }
}

/// The notification of an event, if the client is to get one.
pub(in crate::console) fn notification(numbered: Numbered, agreed: &Agreed) -> Option<Envelope> {
    let Numbered { number, event } = numbered;
    let wanted = |filter: &EventFilter| filter.passes(&event);
    if !agreed.filter.as_ref().is_none_or(wanted) {
        return None;
    }
    let notification = match event {
        Event::Mounted(container) if agreed.details => Notification::Mounted(container),
        Event::Unmounted(container) if agreed.details => Notification::Umounted(container),
        Event::Mounted(_) | Event::Unmounted(_) => return None,
        Event::Started(container) => Notification::Started(container),
        Event::Exited(container, end) if agreed.details => Notification::Exit(container, exit(end)),
        Event::Exited(container, end) => {
            Notification::Exit(container, exit_status(end.status).into())
        }
        Event::Installed(container) => Notification::Install(container),
        Event::Uninstalled(container) => Notification::Uninstall(container),
        Event::CgroupMemory(container, memory) => {
            Notification::CGroup(container, CGroupNotification::Memory(memory_events(memory)))
        }
        Event::Shutdown => Notification::Shutdown,
    };
    Some(Envelope {
        id: None,
        sequence: agreed.sequence.then_some(number),
        message: notification.into(),
    })
}

/// What a client is told that has lost notifications.
pub(in crate::console) fn lagged(lag: Lag) -> Envelope {
    let Lag { missed, last } = lag;
    Envelope {
        id: None,
        sequence: Some(last),
        message: Message::Notification(Notification::Lagged { missed }),
    }
}

pub(super) fn exit_status(status: ExitStatus) -> api::ExitStatus {
    match status {
        ExitStatus::Exit(code) => api::ExitStatus::Exit { code },
        ExitStatus::Signalled(signal) => api::ExitStatus::Signalled {
            signal: signal.unsigned_abs(),
        },
    }
}

pub(super) fn exit(exit: Exit) -> api::Exit {
    let (reason, requested_signal) = match exit.reason {
        ExitReason::OwnExit => (api::ExitReason::OwnExit, None),
        ExitReason::OwnSignal => (api::ExitReason::OwnSignal, None),
        ExitReason::Requested(signal) => (api::ExitReason::KilledByRequest, Some(signal)),
        ExitReason::OutOfMemory => (api::ExitReason::OomKilled, None),
        ExitReason::Shutdown => (api::ExitReason::Shutdown, None),
        ExitReason::InitDied => (api::ExitReason::InitDied, None),
    };
    api::Exit {
        status: exit_status(exit.status),
        reason: Some(reason),
        requested_signal,
    }
}

pub(super) fn memory_events(memory: MemoryEvents) -> MemoryNotification {
    MemoryNotification {
        low: memory.low,
        high: memory.high,
        max: memory.max,
        oom: memory.oom,
        oom_kill: memory.oom_kill,
    }
}
