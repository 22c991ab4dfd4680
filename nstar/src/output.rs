//! Writing to the terminal or the pipe behind it.

use std::{
    borrow::Cow,
    env,
    error::Error,
    ffi::OsString,
    fmt::Write as _,
    io::{self, ErrorKind, IsTerminal, Write},
    sync::OnceLock,
};

use clap::ValueEnum;

use crate::failure::Failure;

pub mod table;

/// When there is colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

static COLOR: OnceLock<Color> = OnceLock::new();

/// Says once, before anything is written, when there is colour.
pub fn set_color(color: Color) {
    // A second call would change nothing.
    let _ = COLOR.set(color);
}

impl Color {
    fn is_on(self, is_terminal: bool) -> bool {
        match self {
            Color::Always => true,
            Color::Never => false,
            // https://no-color.org: set and not empty.
            Color::Auto => {
                is_terminal
                    && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                    && env::var_os("TERM").is_none_or(|term| term != "dumb")
            }
        }
    }
}

fn color() -> Color {
    COLOR.get().copied().unwrap_or_default()
}

/// Whether standard output has colour.
pub fn has_color() -> bool {
    color().is_on(io::stdout().is_terminal())
}

/// Columns of the terminal behind standard output, if there is one.
pub fn width() -> Option<u16> {
    let stdout = io::stdout();
    let size = stdout
        .is_terminal()
        .then(|| rustix::termios::tcgetwinsize(&stdout).ok())??;
    // A serial line does not know.
    (size.ws_col > 0).then_some(size.ws_col)
}

/// Whether the terminal is one for UTF-8, as far as the locale says so. Elsewhere only ASCII is drawn.
pub fn has_utf8() -> bool {
    is_utf8(["LC_ALL", "LC_CTYPE", "LANG"].map(env::var_os))
}

/// The first of the variables that is set and not empty is the locale of characters (setlocale(3)).
fn is_utf8(variables: [Option<OsString>; 3]) -> bool {
    let mut set = variables.into_iter().flatten();
    let locale = set.find(|value| !value.is_empty());
    locale.is_some_and(|locale| {
        let locale = locale.to_string_lossy().to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

/// Whether anyone reads what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    Listening,
    /// The other end of the pipe is closed; that is how `nstar notifications | head -1` ends.
    Gone,
}

/// Whether a terminal would do something else with a character than show it. Those that turn the direction of writing make
/// a text look like another one (Unicode Standard Annex 9, 2.1 to 2.5).
fn is_control(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text from elsewhere as one line that does nothing to a terminal: what is no character to see is written as `\u{1b}`.
pub fn harmless(text: &str) -> Cow<'_, str> {
    if !text.contains(is_control) {
        return text.into();
    }
    let mut harmless = String::with_capacity(text.len());
    for character in text.chars() {
        if is_control(character) {
            harmless.extend(character.escape_default());
        } else {
            harmless.push(character);
        }
    }
    harmless.into()
}

/// JSON that does nothing to a terminal, and means the same: within strings there are escapes for everything, and outside of
/// them nothing but blanks has to be replaced.
pub fn harmless_json(json: &str) -> Cow<'_, str> {
    if !json.contains(is_control) {
        return json.into();
    }
    let mut harmless = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '\n' => harmless.push('\n'),
            // JSON has them between values only (RFC 8259, 2 and 7).
            '\r' | '\t' => harmless.push(' '),
            other if is_control(other) => {
                // A string takes everything.
                let _ = write!(harmless, "\\u{:04x}", u32::from(other));
            }
            other => harmless.push(other),
        }
    }
    harmless.into()
}

/// Writes JSON from elsewhere to standard output: as it is, unless a terminal is behind it.
pub fn print_json(json: &str) -> Result<Reader, Failure> {
    if io::stdout().is_terminal() {
        print(&harmless_json(json))
    } else {
        print(json)
    }
}

/// Writes lines to standard output at once. What is from elsewhere has to be [`harmless`].
pub fn print(text: &str) -> Result<Reader, Failure> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Reader::Listening),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(source) => Err(Failure::Output { source }),
    }
}

/// Tells a failure, its causes and what to try next on standard error.
pub fn complain(failure: &Failure) {
    let bold_red = if color().is_on(io::stderr().is_terminal()) {
        ("\x1b[1;31m", "\x1b[0m")
    } else {
        ("", "")
    };
    let message = failure.to_string();
    let mut text = format!("{}nstar:{} {}", bold_red.0, bold_red.1, harmless(&message));
    let mut cause = failure.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&harmless(&error.to_string()));
        cause = error.source();
    }
    if let Some(hint) = failure.hint() {
        text.push_str("\nhint: ");
        text.push_str(&harmless(&hint));
    }
    // There is nobody left to tell.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Asks something on standard error, without a line end.
pub fn question(text: &str) {
    let _ = write!(io::stderr(), "{}", harmless(text));
}

/// Tells something on standard error that is no failure of nstar.
pub fn remark(text: &str) {
    let _ = writeln!(io::stderr(), "nstar: {}", harmless(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locale_of_characters_decides_about_utf8() {
        for (all, characters, lang, expected) in [
            ("", "", "", false),
            ("C.UTF-8", "", "", true),
            ("", "", "en_US.utf8", true),
            ("", "de_DE.UTF-8", "C", true),
            ("C", "de_DE.UTF-8", "de_DE.UTF-8", false),
            ("", "de_DE.ISO-8859-1", "de_DE.UTF-8", false),
            ("POSIX", "", "", false),
        ] {
            let variables = [all, characters, lang].map(|value| Some(value.into()));
            assert_eq!(is_utf8(variables), expected, "{all} {characters} {lang}");
        }
        assert!(!is_utf8([None, None, None]));
        assert!(is_utf8([None, None, Some("C.UTF-8".into())]));
    }

    #[test]
    fn colour_is_for_terminals_unless_asked_for() {
        assert!(Color::Always.is_on(false));
        assert!(!Color::Never.is_on(true));
        assert!(!Color::Auto.is_on(false));
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        let cases = [
            ("plain text, é and 漢字", "plain text, é and 漢字"),
            ("a\x1b[2Jb", "a\\u{1b}[2Jb"),
            ("a\nhint: b\r\t", "a\\nhint: b\\r\\t"),
            ("\u{9b}2J\u{7f}\0", "\\u{9b}2J\\u{7f}\\u{0}"),
            ("\u{202e}gpj", "\\u{202e}gpj"),
        ];
        for (text, expected) in cases {
            assert_eq!(harmless(text), expected);
        }
    }

    #[test]
    fn harmless_json_means_the_same() {
        let json = "{\"a\":\r\t[\"\u{9b}2J\u{7f}\u{202e}\"],\n\"b\":\"é\\u001b\"}";
        let harmless = harmless_json(json);
        assert_eq!(
            harmless,
            "{\"a\":  [\"\\u009b2J\\u007f\\u202e\"],\n\"b\":\"é\\u001b\"}"
        );
        let read = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
        assert_eq!(read(json), read(&harmless));
    }
}
