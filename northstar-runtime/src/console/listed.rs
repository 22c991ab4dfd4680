//! The answer to `list`, written as JSON once for all clients and requests until the containers are others.

use super::translate;
use bytes::{BufMut, Bytes, BytesMut};
use northstar_api::{Envelope, Response, codec::CodecError};
use northstar_manifest::Container;
use std::sync::{Arc, Mutex, PoisonError};

/// The last answer, and the containers in it.
#[derive(Debug, Default)]
pub(super) struct Listed(Mutex<Option<(Arc<[Container]>, Bytes)>>);

impl Listed {
    /// The length of the last answer in bytes; 0 if there was none.
    pub(super) fn length(&self) -> usize {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map_or(0, |(_, line)| line.len())
    }

    /// The answer to a request without an id.
    pub(super) fn line(&self, containers: Arc<[Container]>) -> Result<Bytes, CodecError> {
        // It is replaced as a whole: a panic elsewhere leaves it right.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, line)) = &*last
            // The supervisor makes a new list when it changes. This one is kept, so no other has its address.
            && Arc::ptr_eq(of, &containers)
        {
            return Ok(line.clone());
        }
        let response = Response::List(containers.to_vec());
        let line = translate::line(&Envelope::new(None, response))?.freeze();
        *last = Some((containers, line.clone()));
        Ok(line)
    }
}

/// The same answer for the request with an id, if it has one.
pub(super) fn identified(id: Option<u64>, line: &[u8]) -> BytesMut {
    let mut identified = BytesMut::with_capacity(line.len().saturating_add(LONGEST_ID));
    match (id, line.strip_prefix(b"{")) {
        (Some(id), Some(rest)) => {
            identified.put_slice(format!("{{\"id\":{id},").as_bytes());
            identified.put_slice(rest);
        }
        _ => identified.put_slice(line),
    }
    identified
}

/// What the longest id adds to a line, in bytes.
pub(super) const LONGEST_ID: usize = r#""id":18446744073709551615,"#.len();

#[cfg(test)]
mod tests {
    use super::*;

    fn containers(names: &[&str]) -> Arc<[Container]> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn encoded(id: Option<u64>, containers: &[Container]) -> BytesMut {
        let response = Response::List(containers.to_vec());
        translate::line(&Envelope::new(id, response)).unwrap()
    }

    #[test]
    fn it_is_what_the_encoder_writes() {
        for names in [&[][..], &["a:1.0.0", "b:2.0.0-rc.1+x"]] {
            let containers = containers(names);
            let line = Listed::default().line(Arc::clone(&containers)).unwrap();
            for id in [None, Some(0), Some(u64::MAX)] {
                assert_eq!(identified(id, &line), encoded(id, &containers));
            }
        }
    }

    #[test]
    fn another_list_is_another_answer() {
        let listed = Listed::default();
        let one = containers(&["a:1.0.0"]);
        let first = listed.line(Arc::clone(&one)).unwrap();
        let again = listed.line(one).unwrap();
        assert_eq!(first.as_ptr(), again.as_ptr());
        let two = containers(&["b:1.0.0"]);
        assert_eq!(listed.line(Arc::clone(&two)).unwrap(), encoded(None, &two));
    }
}
