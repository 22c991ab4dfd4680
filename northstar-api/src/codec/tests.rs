use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::{Notification, Request, Response};

fn message(frame: Option<Frame>) -> Message {
    match frame {
        Some(Frame::Message(message)) => message,
        other => panic!("no message: {other:?}"),
    }
}

#[test]
fn both_line_ends_are_accepted() {
    let mut codec = Lines::new(100);
    let mut buffer = BytesMut::from("{\"request\":\"list\"}\r\n{\"request\":\"ident\"}\n");
    assert_eq!(
        message(codec.decode(&mut buffer).unwrap()),
        Request::List.into()
    );
    assert_eq!(
        message(codec.decode(&mut buffer).unwrap()),
        Request::Ident.into()
    );
    assert_eq!(codec.decode(&mut buffer).unwrap(), None);
    assert_eq!(codec.decode_eof(&mut buffer).unwrap(), None);
}

#[test]
fn the_limit_counts_the_line_without_its_end() {
    let line = "{\"request\":\"list\"}";
    for end in ["\n", "\r\n"] {
        let mut codec = Lines::new(line.len());
        let mut buffer = BytesMut::from(format!("{line}{end}").as_str());
        assert_eq!(
            message(codec.decode(&mut buffer).unwrap()),
            Request::List.into()
        );

        let mut codec = Lines::new(line.len() - 1);
        let mut buffer = BytesMut::from(format!("{line}{end}").as_str());
        let error = codec.decode(&mut buffer).unwrap_err();
        assert!(matches!(error, CodecError::TooLong { limit } if limit == line.len() - 1));
    }
}

#[test]
fn a_line_without_end_is_refused_as_soon_as_it_is_too_long() {
    let mut codec = Lines::new(10);
    let mut buffer = BytesMut::new();
    for _ in 0..11 {
        buffer.put_u8(b'x');
        assert_eq!(codec.decode(&mut buffer).unwrap(), None);
    }
    buffer.put_u8(b'x');
    assert!(matches!(
        codec.decode(&mut buffer),
        Err(CodecError::TooLong { limit: 10 })
    ));
}

#[test]
fn what_is_no_message_is_malformed() {
    for line in [
        "",
        "{}",
        "null",
        "list",
        "{\"request\":\"dance\"}",
        "{\"request\":{\"inspect\":{\"container\":\"a\"}}}",
        "{\"request\":{\"install\":{\"repository\":\"r\",\"size\":-1}}}",
        "{\"request\":\"list\"} {\"request\":\"list\"}",
        "{\"request\":\"list\",\"more\":1}",
        "{\"more\":1,\"request\":\"list\"}",
        "{\"id\":1,\"request\":\"list\"}",
        "{\"request\":\"li\u{fffd}st\"}",
    ] {
        let error = decode(line.as_bytes()).unwrap_err();
        assert!(matches!(error, CodecError::Malformed { .. }), "{line}");
    }
    assert!(matches!(
        decode(b"{\"request\":\"\xff\"}"),
        Err(CodecError::Malformed { .. })
    ));
    // Nesting ends in an error, not in a stack overflow.
    let deep = "[".repeat(100_000);
    assert!(matches!(
        decode(deep.as_bytes()),
        Err(CodecError::Malformed { .. })
    ));
}

#[test]
fn raw_bytes_follow_an_install_and_lines_follow_them() {
    let mut text = String::new();
    writeln!(
        text,
        "{{\"request\":{{\"install\":{{\"repository\":\"r\",\"size\":12}}}}}}"
    )
    .unwrap();
    text.push_str("line\nline\nxx{\"request\":\"list\"}\n");
    let mut codec = Lines::new(1000);
    let mut buffer = BytesMut::from(text.as_str());
    let install = message(codec.decode(&mut buffer).unwrap());
    assert_eq!(
        install,
        Request::Install {
            repository: "r".to_owned(),
            size: 12
        }
        .into()
    );
    codec.expect_raw(12);
    let raw = codec.decode(&mut buffer).unwrap();
    assert_eq!(raw, Some(Frame::Raw(Bytes::from_static(b"line\nline\nxx"))));
    assert_eq!(codec.raw_remaining(), 0);
    assert_eq!(
        message(codec.decode(&mut buffer).unwrap()),
        Request::List.into()
    );
}

#[test]
fn the_end_of_the_stream_is_an_error_inside_of_a_line_or_of_raw_bytes() {
    let mut codec = Lines::new(100);
    let mut buffer = BytesMut::from("{\"request\":");
    assert_eq!(codec.decode(&mut buffer).unwrap(), None);
    assert!(matches!(
        codec.decode_eof(&mut buffer),
        Err(CodecError::Truncated)
    ));

    let mut codec = Lines::new(100);
    codec.expect_raw(10);
    let mut buffer = BytesMut::from("1234");
    assert!(matches!(codec.decode_eof(&mut buffer), Ok(Some(Frame::Raw(b))) if b.len() == 4));
    let error = codec.decode_eof(&mut buffer).unwrap_err();
    assert!(matches!(error, CodecError::TruncatedRaw { missing: 6 }));
}

/// Feeds `stream` in pieces of the given sizes and collects what comes out; raw pieces are joined.
fn decode_in_pieces(stream: &[u8], sizes: &[usize]) -> (Vec<Message>, Vec<u8>) {
    let mut codec = Lines::new(10_000);
    let (mut messages, mut raw) = (Vec::new(), Vec::new());
    let mut buffer = BytesMut::new();
    let mut rest = stream;
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let size = (*sizes.next().unwrap()).min(rest.len());
        let (piece, later) = rest.split_at(size);
        buffer.extend_from_slice(piece);
        rest = later;
        while let Some(frame) = codec.decode(&mut buffer).unwrap() {
            match frame {
                Frame::Raw(bytes) => raw.extend_from_slice(&bytes),
                Frame::Message(message) => {
                    if let Message::Request(Request::Install { size, .. }) = &message {
                        codec.expect_raw(*size);
                    }
                    messages.push(message);
                }
            }
        }
    }
    assert_eq!(codec.decode_eof(&mut buffer).unwrap(), None);
    (messages, raw)
}

fn any_message() -> impl Strategy<Value = Message> {
    let container = "[a-z][a-z0-9-]{0,8}:[0-9]\\.[0-9]\\.[0-9]";
    prop_oneof![
        Just(Request::List.into()),
        Just(Response::Shutdown.into()),
        Just(Notification::Shutdown.into()),
        container.prop_map(|c| Notification::Started(c.parse().unwrap()).into()),
        (container, ".{0,20}", prop::collection::vec(".{0,10}", 0..4)).prop_map(
            |(c, init, arguments)| Request::Start {
                container: c.parse().unwrap(),
                init: Some(init),
                arguments,
                environment: Default::default(),
            }
            .into()
        ),
    ]
}

proptest! {
    #[test]
    fn how_the_stream_is_cut_does_not_matter(
        messages in prop::collection::vec((any_message(), prop::collection::vec(any::<u8>(), 0..50)), 0..8),
        sizes in prop::collection::vec(1..40usize, 1..8),
    ) {
        let mut stream = BytesMut::new();
        let (mut expected, mut expected_raw) = (Vec::new(), Vec::new());
        for (message, body) in messages {
            encode(&message, &mut stream).unwrap();
            expected.push(message);
            let size = u64::try_from(body.len()).unwrap();
            let install = Request::Install { repository: "r".to_owned(), size }.into();
            encode(&install, &mut stream).unwrap();
            expected.push(install);
            stream.extend_from_slice(&body);
            expected_raw.extend_from_slice(&body);
        }
        let (decoded, raw) = decode_in_pieces(&stream, &sizes);
        prop_assert_eq!(decoded, expected);
        prop_assert_eq!(raw, expected_raw);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut codec = Lines::new(50);
        let mut buffer = BytesMut::from(bytes.as_slice());
        while let Ok(Some(_)) = codec.decode(&mut buffer) {}
    }
}
