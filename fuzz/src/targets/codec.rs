//! The codec of the console, with its switch from lines to raw bytes and back.
//!
//! The input is the longest line (2 bytes), how the stream is cut (1 byte), then the stream. An
//! install request asks for as many raw bytes as it says.

use bytes::{Bytes, BytesMut};
use northstar_api::codec::{CodecError, Frame, Lines, decode_envelope, encode, encode_envelope};
use northstar_api::{Message, Request, Token};
use tokio_util::codec::Decoder;

use super::{Target, leave};
use crate::memory;
use crate::recipe::Recipe;

/// The codec of the console.
pub static TARGET: Target = Target {
    name: "codec",
    run,
    repair: leave,
    seeds,
    words: WORDS,
    limit: 2048,
};

const WORDS: &[&[u8]] = &[
    b"{\"connect\":{\"version\":\"0.9.2\",\"subscribe_notifications\":true}}\n",
    b"{\"request\":\"list\"}\n",
    b"{\"request\":\"ident\"}\r\n",
    b"{\"id\":7,\"request\":",
    b"{\"sequence\":1,\"notification\":",
    b"{\"request\":{\"install\":{\"repository\":\"a\",\"size\":3}}}\nabc",
    b"{\"response\":",
    b"\"container\":\"a:0.0.1\"",
    b"\"shared\":\"AAAA\"",
    b"\"token_verify\":",
    b"\"mount\":{\"containers\":[",
    b"\"extensions\":{\"ids\":true}",
    b"null",
    b"true",
    b"18446744073709551615",
    b"1e400",
    b"\\u0000",
    b"\\ud800",
    b"\xff",
    b"[[[[[[[[[[[[[[[[",
    b"\n",
    b"\r\n",
    b"{",
    b"}",
    b"\"",
];

/// Most memory in bytes: one line and the message in it, in the form that takes most.
const LIMIT: usize = 1024 * 1024;

/// What came out of a stream.
#[derive(Debug, PartialEq)]
enum Item {
    Message(Message),
    /// Raw bytes, put together again.
    Raw(Vec<u8>),
    /// The kind of error in which it ended.
    End(&'static str),
}

fn run(input: &[u8]) {
    let mut recipe = Recipe::new(input);
    let limit = usize::from(recipe.short() % 2048);
    let cut = usize::from(recipe.byte()) + 1;
    let stream = recipe.rest();
    let whole = memory::bounded(LIMIT, || decode(stream, stream.len().max(1), limit));
    let pieces = memory::bounded(LIMIT, || decode(stream, cut, limit));
    assert_eq!(
        whole, pieces,
        "the pieces a stream comes in make a difference"
    );
    for item in &whole {
        if let Item::Message(message) = item {
            check(message);
        }
    }
    for line in stream.split(|byte| *byte == b'\n') {
        check_line(line);
    }
    check_token(stream);
}

fn decode(stream: &[u8], cut: usize, limit: usize) -> Vec<Item> {
    let mut codec = Lines::new(limit);
    let mut buffer = BytesMut::new();
    let mut items = Vec::new();
    for piece in stream.chunks(cut) {
        buffer.extend_from_slice(piece);
        loop {
            match codec.decode(&mut buffer) {
                Ok(None) => break,
                Ok(Some(frame)) => take(&mut codec, &mut items, frame, limit),
                Err(error) => return end(items, &error),
            }
        }
    }
    loop {
        match codec.decode_eof(&mut buffer) {
            Ok(None) => return items,
            Ok(Some(frame)) => take(&mut codec, &mut items, frame, limit),
            Err(error) => return end(items, &error),
        }
    }
}

fn take(codec: &mut Lines, items: &mut Vec<Item>, frame: Frame, limit: usize) {
    match (frame, items.last_mut()) {
        (Frame::Raw(bytes), Some(Item::Raw(before))) => append(before, &bytes),
        (Frame::Raw(bytes), _) => {
            assert!(!bytes.is_empty());
            items.push(Item::Raw(bytes.to_vec()));
        }
        (Frame::Message(message), _) => {
            assert_eq!(codec.raw_remaining(), 0);
            if let Message::Request(Request::Install { size, .. }) = &message {
                codec.expect_raw(*size);
            }
            let mut line = BytesMut::new();
            encode(&message, &mut line).expect("a message that was read can be written");
            // What is written may be longer than what was read only by defaults that were left out.
            assert!(line.len() <= limit + 4096);
            items.push(Item::Message(message));
        }
    }
}

fn append(before: &mut Vec<u8>, bytes: &Bytes) {
    assert!(!bytes.is_empty());
    before.extend_from_slice(bytes);
}

fn end(mut items: Vec<Item>, error: &CodecError) -> Vec<Item> {
    items.push(Item::End(match error {
        CodecError::TooLong { .. } => "too long",
        CodecError::Malformed { .. } => "malformed",
        CodecError::Truncated => "truncated",
        CodecError::TruncatedRaw { .. } => "truncated raw bytes",
        _ => panic!("{error:?}"),
    }));
    items
}

/// A message is what it was after it was written and read again.
fn check(message: &Message) {
    let mut line = BytesMut::new();
    encode(message, &mut line).expect("a message that was read can be written");
    assert_eq!(line.last(), Some(&b'\n'));
    assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
    let again =
        northstar_api::codec::decode(&line).expect("a message that was written can be read");
    assert_eq!(again, *message);
    let envelope = decode_envelope(&line).expect("a message is an envelope");
    assert_eq!((envelope.id, envelope.sequence), (None, None));
    assert_eq!(envelope.message, *message);
}

fn check_line(line: &[u8]) {
    let Ok(envelope) = decode_envelope(line) else {
        return;
    };
    let mut written = BytesMut::new();
    encode_envelope(&envelope, &mut written).expect("an envelope that was read can be written");
    let again = decode_envelope(&written).expect("an envelope that was written can be read");
    assert_eq!(again, envelope);
}

/// Forty bytes are a token and nothing else is; in JSON it is the base64 of them.
fn check_token(bytes: &[u8]) {
    assert_eq!(Token::try_from(bytes).is_ok(), bytes.len() == Token::LENGTH);
    if let Ok(token) = serde_json::from_slice::<Token>(bytes) {
        let text = serde_json::to_vec(&token).expect("a token can be written");
        assert_eq!(bytes.trim_ascii(), text);
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let lines = [
        r#"{"connect":{"version":"0.9.2","subscribe_notifications":true,"extensions":{"ids":true,"jobs":true,"sequence":true,"details":true,"filter":{"containers":["app*"],"kinds":["started"]},"resume":{"instance":"00ff","sequence":41}}}}"#,
        r#"{"connect_ack":null}"#,
        r#"{"connect_nack":{"permission_denied":null}}"#,
        r#"{"connect_nack":{"invalid_protocol_version":{"version":"0.9.2"}}}"#,
        r#"{"request":{"start":{"container":"a:0.0.1","init":"/i","arguments":["x"],"environment":{"A":"b"}}}}"#,
        r#"{"id":7,"request":{"kill":{"container":"a:0.0.1","signal":9}}}"#,
        r#"{"request":{"mount":{"containers":["a:0.0.1","b:0.0.2"]}}}"#,
        r#"{"request":{"uninstall":{"container":"a:0.0.1","wipe":true}}}"#,
        r#"{"request":{"token_create":{"target":"a","shared":"AQID"}}}"#,
        r#"{"request":{"token_verify":{"token":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==","user":"a","shared":""}}}"#,
        r#"{"id":8,"request":{"cancel":{"id":7}}}"#,
        r#"{"response":{"list":["a:0.0.1"]}}"#,
        r#"{"response":{"repositories":["default"]}}"#,
        r#"{"response":{"install":{"ok":{"container":"a:0.0.1"}}}}"#,
        r#"{"response":{"inspect":{"error":{"invalid_container":{"container":"a:0.0.1"}}}}}"#,
        r#"{"sequence":42,"notification":"shutdown"}"#,
        r#"{"notification":{"exit":["a:0.0.1",{"exit":{"code":1}}]}}"#,
        r#"{"id":7,"progress":{"done":1,"total":10,"unit":"bytes"}}"#,
        r#""AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==""#,
    ];
    let mut seeds: Vec<Vec<u8>> = lines
        .iter()
        .map(|line| [b"\xff\x07\x10", line.as_bytes(), b"\n"].concat())
        .collect();
    seeds.push(
        b"\xff\x03\x03{\"request\":{\"install\":{\"repository\":\"a\",\"size\":5}}}\nab\n{\"\n{\"request\":\"list\"}\r\n".to_vec(),
    );
    seeds
}
