//! Between the protocol's words and the supervisor's: the only place that knows both.
//!
//! What a client of 0.9.2 cannot read is never sent to one that did not ask for details: a failure without a word of its
//! own becomes `unexpected`, events without one are left out, and `inspect` gives the manifest without the fields that
//! version does not know.

mod error;
mod event;
mod facts;

pub(super) use event::{kind, lagged, notification};
pub(super) use facts::repository;

use crate::supervisor;
use bytes::BytesMut;
use northstar_api::{ContainerResult, Envelope, codec};
use northstar_manifest::Container;

/// A message as it goes over the wire.
pub(super) fn line(envelope: &Envelope) -> Result<BytesMut, codec::CodecError> {
    let mut line = BytesMut::new();
    codec::encode_envelope(envelope, &mut line)?;
    Ok(line)
}

/// The words that a client knows. The default are those of 0.9.2.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Words {
    /// Those of the extension `details` too.
    pub details: bool,
}

impl Words {
    /// The results of a request on several containers.
    pub(super) fn results(
        self,
        outcomes: Vec<(Container, Result<(), supervisor::Error>)>,
    ) -> Vec<ContainerResult> {
        let each = |(container, outcome)| self.result(container, outcome);
        outcomes.into_iter().map(each).collect()
    }

    /// The result of a request on one container.
    pub(super) fn result(
        self,
        container: Container,
        outcome: Result<(), supervisor::Error>,
    ) -> ContainerResult {
        ContainerResult::new(container, outcome.map_err(|error| self.error(error)))
    }
}
