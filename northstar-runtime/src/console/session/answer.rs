//! The answer to one request, before it is a line.

use crate::{console::requests::End, supervisor::Inspection};
use bytes::Bytes;
use northstar_api::{Envelope, Response};
use northstar_manifest::Container;

/// The answer to one request, and what comes after it.
pub(in crate::console) struct Answer {
    pub content: Content,
    pub then: Then,
}

impl Answer {
    /// An answer after which there are no more.
    pub(in crate::console) fn last(response: Response, end: End) -> Answer {
        Answer {
            content: response.into(),
            then: Then::End(end),
        }
    }
}

/// What an answer says.
pub(in crate::console) enum Content {
    /// A response, without its id.
    Message(Envelope),
    /// The line of it, as it is without an id.
    Line(Bytes),
    /// A container that was inspected. Most of it is shared with the supervisor as long as it is not written as JSON.
    Inspected(Container, Box<Inspection>),
}

impl From<Response> for Content {
    fn from(response: Response) -> Content {
        Content::Message(response.into())
    }
}

pub(in crate::console) enum Then {
    Continue,
    /// Only now that the answer is on its way: afterwards there may be nobody left to send it.
    Shutdown,
    End(End),
}

impl From<Content> for Answer {
    fn from(content: Content) -> Answer {
        Answer {
            content,
            then: Then::Continue,
        }
    }
}

impl From<Response> for Answer {
    fn from(response: Response) -> Answer {
        Content::from(response).into()
    }
}
