//! Tables that fit where they are shown.
//!
//! On a terminal, cells are wrapped so that lines are not longer than the terminal is wide. Elsewhere
//! nothing is wrapped and nothing depends on a terminal, so that scripts see the same always.

use comfy_table::{Attribute, Cell, ContentArrangement, Table, presets::NOTHING};

pub use comfy_table::Color;

/// One cell.
#[derive(Clone, Debug, Default)]
pub struct Text {
    text: String,
    color: Option<Color>,
    is_number: bool,
}

impl Text {
    /// A cell in colour, where there is any.
    pub fn colored(text: impl Into<String>, color: Color) -> Text {
        Text {
            text: text.into(),
            color: Some(color),
            is_number: false,
        }
    }

    /// A cell that is aligned at the right.
    pub fn number(text: impl Into<String>) -> Text {
        Text {
            text: text.into(),
            color: None,
            is_number: true,
        }
    }
}

impl<T: Into<String>> From<T> for Text {
    fn from(text: T) -> Text {
        Text {
            text: text.into(),
            color: None,
            is_number: false,
        }
    }
}

/// How a table is shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Columns of the terminal; without one nothing is wrapped.
    pub width: Option<u16>,
    /// Whether there is colour.
    pub color: bool,
}

impl Style {
    /// What standard output wants.
    pub fn of_stdout() -> Style {
        Style {
            width: super::width(),
            color: super::has_color(),
        }
    }
}

/// A header and rows as aligned columns, without trailing blanks.
pub fn table<const N: usize>(header: [&str; N], rows: Vec<[Text; N]>, style: Style) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.force_no_tty();
    if style.color {
        table.enforce_styling();
    }
    match style.width {
        Some(width) => {
            table.set_width(width);
            table.set_content_arrangement(ContentArrangement::Dynamic);
        }
        None => {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
    }
    table.set_header(header.map(|name| {
        let cell = Cell::new(name);
        if style.color {
            cell.add_attribute(Attribute::Bold)
        } else {
            cell
        }
    }));
    for row in rows {
        table.add_row(row.map(
            |Text {
                 text,
                 color,
                 is_number,
             }| {
                let mut cell = Cell::new(super::harmless(&text));
                if is_number {
                    cell = cell.set_alignment(comfy_table::CellAlignment::Right);
                }
                match color.filter(|_| style.color) {
                    Some(color) => cell.fg(color),
                    None => cell,
                }
            },
        ));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<[Text; 2]> {
        vec![
            ["a-long-name".into(), Text::colored("é", Color::Green)],
            ["b".into(), Text::number("1")],
        ]
    }

    #[test]
    fn columns_are_aligned_and_nothing_is_wrapped_in_a_pipe() {
        let text = table(["NAME", "STATE"], rows(), Style::default());
        assert_eq!(
            text,
            "NAME         STATE\na-long-name  é\nb                1"
        );
        let long = "x".repeat(500);
        let text = table(["NAME"], vec![[long.as_str().into()]], Style::default());
        assert_eq!(text, format!("NAME\n{long}"));
    }

    #[test]
    fn no_line_is_longer_than_the_terminal() {
        for width in [10, 20, 40, 80] {
            let style = Style {
                width: Some(width),
                color: false,
            };
            let row = [
                "a-container-with-a-long-name",
                "0.0.1",
                "default",
                "running",
            ];
            let text = table(
                ["NAME", "VERSION", "REPOSITORY", "STATE"],
                vec![row.map(Text::from)],
                style,
            );
            for line in text.lines() {
                assert!(line.chars().count() <= width.into(), "{width}: {text}");
            }
            // Nothing is lost.
            let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).count();
            assert!(letters(&text) >= letters(&row.concat()), "{text}");
        }
    }

    #[test]
    fn colour_only_where_it_is_wanted() {
        let style = Style {
            width: None,
            color: true,
        };
        assert!(table(["NAME", "STATE"], rows(), style).contains("\x1b["));
        assert!(!table(["NAME", "STATE"], rows(), Style::default()).contains('\x1b'));
    }
}
