//! What an answer is expected to take: in JSON, and before it is that. It is set aside before a request is begun.

use super::{
    listed::LONGEST_ID,
    requests::{End, MAX_CONTAINERS},
    session::Session,
};
use northstar_api::Request;

/// What the first answer about a container takes, in bytes;
const INSPECTED: usize = 4 * 1024;
/// .. of the result of a request on one of several containers,
const RESULT: usize = 768;
/// .. of the numbers of one container,
const USAGE: usize = 640;
/// .. and of everything around them.
const ENVELOPE: usize = 256;

impl Session<'_> {
    /// In bytes. `length` is that of the request itself.
    pub(super) async fn expected(&self, request: &Request, length: usize) -> Result<usize, End> {
        let answer = match request {
            // A refusal repeats the request.
            request if self.lacks(request).is_some() => length,
            // What is to make room must not wait for it.
            Request::Cancel { .. } => return Ok(0),
            Request::List => self.context.listed.length().saturating_add(LONGEST_ID),
            Request::Inspect { container } => {
                self.context.lengths.of(container).unwrap_or(INSPECTED)
            }
            Request::Mount { containers } | Request::Umount { containers } => {
                containers.len().min(MAX_CONTAINERS).saturating_mul(RESULT)
            }
            Request::Statistics { containers } => {
                let count = match containers.len() {
                    0 if self.agreed.details => self.context.handle.list().await?.len(),
                    count => count.min(MAX_CONTAINERS),
                };
                count.saturating_mul(USAGE)
            }
            _ => 0,
        };
        Ok(answer.saturating_add(ENVELOPE))
    }
}
