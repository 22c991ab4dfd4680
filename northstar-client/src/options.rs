//! How to connect.

use std::time::Duration;

use northstar_api::{Extensions, Filter, Resume};

use crate::Tls;

/// How to connect.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long connecting and the handshake may take.
    pub timeout: Duration,
    /// How many notifications are kept for a reader that falls behind, [`Options::MOST_KEPT`] at most; `None` subscribes to
    /// none.
    pub notifications: Option<usize>,
    /// How long each request may take; of an install, how long nothing may move. `None`: any time. See
    /// [`Client::with_timeout`](crate::Client::with_timeout).
    pub request_timeout: Option<Duration>,
    /// What to ask for beyond protocol 0.9.2; `None` for nothing. What the server grants is
    /// [`Client::granted`](crate::Client::granted).
    pub extensions: Option<Extensions>,
    /// Certificates, for a `tls://` endpoint.
    pub tls: Option<Tls>,
}

impl Default for Options {
    /// 10 s to connect, no notifications, no limit for requests, nothing but protocol 0.9.2.
    fn default() -> Options {
        Options {
            timeout: Duration::from_secs(10),
            notifications: None,
            request_timeout: None,
            extensions: None,
            tls: None,
        }
    }
}

impl Options {
    /// Most notifications that are kept for a reader, however many are asked for: the memory for them is taken at once.
    pub const MOST_KEPT: usize = 64 * 1024;

    /// How many notifications are kept; at least one.
    pub(crate) fn kept(&self) -> usize {
        self.notifications.unwrap_or(1).clamp(1, Options::MOST_KEPT)
    }

    /// As the default, with all extensions: requests do not wait for each other, tell their progress and can be
    /// cancelled; notifications have numbers; errors and exits say more. A server of 0.9.x grants none of them.
    #[must_use]
    pub fn extended() -> Options {
        Options {
            extensions: Some(Extensions::all()),
            ..Options::default()
        }
    }

    /// Keeps `count` notifications for a reader that falls behind.
    #[must_use]
    pub fn with_notifications(mut self, count: usize) -> Options {
        self.notifications = Some(count);
        self
    }

    /// Asks the server for some notifications only. A server that does not know filters sends all.
    #[must_use]
    pub fn with_filter(mut self, filter: Filter) -> Options {
        self.extensions.get_or_insert_default().filter = Some(filter);
        self
    }

    /// Asks for the notifications after `position`, which an earlier connection has seen.
    #[must_use]
    pub fn resume(mut self, position: Resume) -> Options {
        let extensions = self.extensions.get_or_insert_default();
        extensions.sequence = true;
        extensions.resume = Some(position);
        self
    }

    /// Certificates for a `tls://` endpoint.
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Options {
        self.tls = Some(tls);
        self
    }
}
