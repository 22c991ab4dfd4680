//! What client and daemon have agreed on in the handshake: the words that may go over the wire.

use super::{
    Context,
    connection::Client,
    filter::{EventFilter, InvalidFilter},
    requests::{MAX_CONTAINERS, MAX_PENDING},
};
use crate::supervisor::{Events, Handle};
use northstar_api::{
    Connect, ConnectAck, ConnectNack, Extension, Extensions, Granted, Limits, Resume,
};
use std::time::Duration;

/// The extensions in force. The default is protocol 0.9.2.
#[derive(Debug, Default)]
pub(super) struct Agreed {
    /// The client has asked for extensions, so that it knows their words.
    pub extended: bool,
    /// Requests may have ids.
    pub ids: bool,
    /// They tell their progress and can be cancelled.
    pub jobs: bool,
    /// Notifications have numbers, and lost ones are told.
    pub sequence: bool,
    /// Words beyond 0.9.2.
    pub details: bool,
    /// Which notifications are sent.
    pub filter: Option<EventFilter>,
}

impl Agreed {
    /// What the client gets of what it asks for.
    pub(super) fn on(connect: &Connect) -> Result<Agreed, ConnectNack> {
        let Some(asked) = &connect.extensions else {
            return Ok(Agreed::default());
        };
        let subscribed = connect.subscribe_notifications;
        let filter = asked.filter.as_ref().filter(|_| subscribed);
        let filter = filter.map(EventFilter::new).transpose();
        let filter = filter.map_err(|error: InvalidFilter| ConnectNack::InvalidExtension {
            extension: "filter".to_owned(),
            cause: error.to_string(),
        })?;
        let Extensions {
            ids,
            jobs,
            sequence,
            details,
            ..
        } = **asked;
        Ok(Agreed {
            extended: true,
            ids,
            jobs: ids && jobs,
            sequence: sequence && subscribed,
            details,
            filter,
        })
    }

    fn granted(&self) -> Vec<Extension> {
        let all = [
            (self.ids, Extension::Ids),
            (self.jobs, Extension::Jobs),
            (self.sequence, Extension::Sequence),
            (self.details, Extension::Details),
            (self.filter.is_some(), Extension::Filter),
        ];
        let granted = all.into_iter().filter(|(granted, _)| *granted);
        granted.map(|(_, extension)| extension).collect()
    }

    /// The acknowledgement, for a client that gets its notifications from `subscription`.
    pub(super) fn acknowledge(
        &self,
        client: &Client,
        context: &Context,
        subscription: &Subscription,
    ) -> ConnectAck {
        if !self.extended {
            return ConnectAck::default();
        }
        ConnectAck(Some(Box::new(Granted {
            extensions: self.granted(),
            instance: context.instance.to_string(),
            sequence: subscription.sequence,
            resumed: subscription.resumed,
            limits: limits(client, context),
        })))
    }
}

/// Where the notifications of a connection come from.
#[derive(Debug)]
pub(super) struct Subscription {
    /// None for who did not subscribe.
    pub events: Option<Events>,
    /// Number of the last event before.
    sequence: u64,
    /// Everything after the number that the client gave follows.
    resumed: bool,
}

impl Subscription {
    /// Subscribes as the client wants it.
    pub(super) fn new(connect: &Connect, agreed: &Agreed, context: &Context) -> Subscription {
        let handle = &context.handle;
        let live = handle.subscribe();
        let sequence = live.seen();
        if !connect.subscribe_notifications {
            return Subscription {
                events: None,
                sequence,
                resumed: false,
            };
        }
        let asked = connect.extensions.as_ref();
        let resume = asked
            .and_then(|asked| asked.resume.as_ref())
            .filter(|_| agreed.sequence);
        match resume.and_then(|resume| replay(resume, &context.instance, handle)) {
            Some(events) => Subscription {
                events: Some(events),
                sequence,
                resumed: true,
            },
            None => Subscription {
                events: Some(live),
                sequence,
                resumed: false,
            },
        }
    }
}

/// A reader that goes on after what the client has seen, if it has seen events of this run and the rest is still there.
fn replay(resume: &Resume, instance: &str, handle: &Handle) -> Option<Events> {
    (resume.instance == instance)
        .then(|| handle.subscribe_after(resume.sequence))
        .flatten()
}

/// The limits in force on a connection.
fn limits(client: &Client, context: &Context) -> Limits {
    let options = &client.options;
    let shared = client.limits.as_ref();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Limits {
        max_request_size: options.max_request_size as u64,
        max_requests_per_sec: options.max_requests_per_sec.get(),
        max_requests_per_sec_per_peer: shared.map(|of| of.max_requests_per_sec_per_peer.get()),
        max_pending_requests: count(MAX_PENDING),
        max_containers: count(MAX_CONTAINERS),
        max_npk_install_size: options.max_npk_install_size,
        max_installs: count(context.handle.max_installs()),
        npk_stream_timeout_ms: milliseconds(options.npk_stream_timeout),
        npk_min_rate: options.npk_min_rate.get(),
        token_validity_ms: milliseconds(options.token_validity),
        idle_timeout_ms: options.idle_timeout.map(milliseconds),
        stall_timeout_ms: milliseconds(options.stall_timeout),
        max_connections: shared.map(|of| count(of.max_connections)),
        max_connections_per_peer: shared.map(|of| count(of.max_connections_per_peer)),
        notification_buffer_size: count(context.handle.events_kept()),
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use northstar_api::Filter;

    fn agreed(subscribe: bool, extensions: Extensions) -> Vec<Extension> {
        let connect = Connect {
            extensions: Some(Box::new(extensions)),
            ..Connect::new(subscribe)
        };
        Agreed::on(&connect).unwrap().granted()
    }

    #[test]
    fn an_extension_without_what_it_needs_is_not_granted() {
        let only_jobs = Extensions {
            jobs: true,
            ..Extensions::default()
        };
        assert_eq!(agreed(true, only_jobs), []);
        let notifications = || Extensions {
            sequence: true,
            filter: Some(Filter::default()),
            ..Extensions::default()
        };
        assert_eq!(agreed(false, notifications()), []);
        assert_eq!(
            agreed(true, notifications()),
            [Extension::Sequence, Extension::Filter]
        );
        assert_eq!(
            agreed(false, Extensions::all()),
            [Extension::Ids, Extension::Jobs, Extension::Details]
        );
    }
}
