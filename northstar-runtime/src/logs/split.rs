//! Bytes to lines: bounded, and safe to show on a terminal.

/// Longest line in one record, in bytes before escaping. A longer line becomes several records.
pub(crate) const LINE_LIMIT: usize = 4096;

/// Collects the bytes of one stream until a line is complete. Holds at most [`LINE_LIMIT`] bytes.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    partial: Vec<u8>,
}

impl Splitter {
    /// Takes the next bytes of the stream and calls `line` for each line that is complete or has reached the limit.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut line: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            let room = LINE_LIMIT - self.partial.len();
            let window = bytes.get(..room.saturating_add(1)).unwrap_or(bytes);
            match window.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    let (head, rest) = bytes.split_at(end);
                    self.emit(head, &mut line);
                    // The newline itself.
                    bytes = rest.get(1..).unwrap_or_default();
                }
                None if bytes.len() > room => {
                    let (head, rest) = bytes.split_at(room);
                    self.emit(head, &mut line);
                    bytes = rest;
                }
                None => {
                    self.partial.extend_from_slice(bytes);
                    bytes = &[];
                }
            }
        }
    }

    /// The stream has ended: a last line without newline is a line too.
    pub(crate) fn finish(&mut self, mut line: impl FnMut(&[u8])) {
        if !self.partial.is_empty() {
            self.emit(&[], &mut line);
        }
    }

    fn emit(&mut self, tail: &[u8], line: &mut impl FnMut(&[u8])) {
        if self.partial.is_empty() {
            line(tail);
        } else {
            self.partial.extend_from_slice(tail);
            line(&self.partial);
            self.partial.clear();
        }
    }
}

/// The line as text in which nothing moves a cursor, forges another line or hides: control and format characters (among
/// them those that change the direction of text), characters that are none, and bytes that are not UTF-8 are written as
/// escapes, everything else stands as it is.
pub(crate) fn escape(line: &[u8]) -> String {
    let mut text = String::with_capacity(line.len());
    for chunk in line.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\t' => text.push_str("\\t"),
                '\r' => text.push_str("\\r"),
                other if other.is_ascii_control() => {
                    text.push_str(&format!("\\x{:02x}", u32::from(other)));
                }
                other if !is_shown(other) => text.extend(other.escape_unicode()),
                other => text.push(other),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// Whether a character is to be seen or is a space: neither a control character nor a format character, line
/// or paragraph separator, nor one that is assigned to nothing.
fn is_shown(character: char) -> bool {
    let separates = matches!(character, '\u{2028}' | '\u{2029}');
    if character.is_ascii() || character.is_whitespace() {
        return !character.is_control() && !separates;
    }
    // The standard library knows what can be printed. It escapes marks only where there is nothing to put them on.
    let mut buffer = [b'x'; 5];
    let length = character.len_utf8();
    if let Some(place) = buffer.get_mut(1..=length) {
        character.encode_utf8(place);
    }
    let pair = buffer
        .get(..=length)
        .and_then(|pair| str::from_utf8(pair).ok());
    pair.is_some_and(|pair| pair.escape_debug().count() == 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut splitter = Splitter::default();
        let mut lines = Vec::new();
        for chunk in chunks {
            splitter.push(chunk, |line| lines.push(line.to_vec()));
        }
        splitter.finish(|line| lines.push(line.to_vec()));
        lines
    }

    #[test]
    fn lines_are_split_across_chunks() {
        assert_eq!(
            lines(&[b"he", b"llo\nwor", b"ld\n"]),
            [b"hello".to_vec(), b"world".to_vec()]
        );
    }

    #[test]
    fn empty_lines_are_lines() {
        assert_eq!(
            lines(&[b"\n\na\n"]),
            [b"".to_vec(), b"".to_vec(), b"a".to_vec()]
        );
    }

    #[test]
    fn last_line_needs_no_newline() {
        assert_eq!(lines(&[b"a\nb"]), [b"a".to_vec(), b"b".to_vec()]);
        assert_eq!(lines(&[b"a\n"]), [b"a".to_vec()]);
    }

    #[test]
    fn line_of_exactly_the_limit_is_one_record() {
        let mut bytes = vec![b'x'; LINE_LIMIT];
        bytes.push(b'\n');
        assert_eq!(lines(&[&bytes]), [vec![b'x'; LINE_LIMIT]]);
    }

    #[test]
    fn longer_line_is_cut_into_records() {
        let bytes = vec![b'x'; 2 * LINE_LIMIT + 1];
        let lengths: Vec<usize> = lines(&[&bytes]).iter().map(Vec::len).collect();
        assert_eq!(lengths, [LINE_LIMIT, LINE_LIMIT, 1]);
    }

    #[test]
    fn control_bytes_are_escaped() {
        assert_eq!(
            escape(b"a\x1b[31mb\x07\t\r\x7f\x00"),
            "a\\x1b[31mb\\x07\\t\\r\\x7f\\x00"
        );
        assert_eq!(
            escape("\u{9b}1m \u{2028}\u{202e}".as_bytes()),
            "\\u{9b}1m \\u{2028}\\u{202e}"
        );
    }

    #[test]
    fn text_is_left_alone() {
        let text = r#"{"path":"C:\\x","grüße":"日本"} 'quoted' "too""#;
        assert_eq!(escape(text.as_bytes()), text);
    }

    #[test]
    fn what_hides_or_reorders_is_escaped() {
        // The marks, embeddings, overrides and isolates of direction; what has no width; separators; language tags;
        // annotations; C1 controls; a character that no text has.
        let ranges = [
            ('\u{80}', '\u{9f}'),
            ('\u{ad}', '\u{ad}'),
            ('\u{61c}', '\u{61c}'),
            ('\u{180e}', '\u{180e}'),
            ('\u{200b}', '\u{200f}'),
            ('\u{2028}', '\u{202e}'),
            ('\u{2060}', '\u{206f}'),
            ('\u{feff}', '\u{feff}'),
            ('\u{fff9}', '\u{fffb}'),
            ('\u{e0001}', '\u{e007f}'),
            ('\u{10ffff}', '\u{10ffff}'),
        ];
        for character in ranges.into_iter().flat_map(|(first, last)| first..=last) {
            let text = format!("a{character}b");
            let expected = format!("a{}b", character.escape_unicode());
            assert_eq!(escape(text.as_bytes()), expected);
        }
    }

    #[test]
    fn text_of_all_kinds_is_left_alone() {
        for text in [
            "a\u{301} decomposed",
            "नमस्ते",
            "السلام عليكم",
            "全角\u{3000}空白",
            "no\u{a0}break",
            "🦀 ☃ √2 → ∞",
        ] {
            assert_eq!(escape(text.as_bytes()), text);
        }
    }

    #[test]
    fn broken_utf8_is_escaped() {
        assert_eq!(escape(b"a\xff\xc3"), "a\\xff\\xc3");
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_and_no_line_is_too_long(
            chunks in prop::collection::vec(prop::collection::vec(prop_oneof![9 => Just(b'x'), 1 => Just(b'\n')], 0..6000), 0..6)
        ) {
            let mut splitter = Splitter::default();
            let mut seen = 0;
            for chunk in &chunks {
                splitter.push(chunk, |line| {
                    assert!(line.len() <= LINE_LIMIT);
                    assert!(!line.contains(&b'\n'));
                    seen += line.len();
                });
                prop_assert!(splitter.partial.len() <= LINE_LIMIT);
            }
            splitter.finish(|line| seen += line.len());
            let sent = chunks.iter().flatten().filter(|byte| **byte != b'\n').count();
            prop_assert_eq!(seen, sent);
        }

        #[test]
        fn escaped_text_has_no_control_character(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            prop_assert!(!escape(&bytes).chars().any(char::is_control));
        }
    }
}
