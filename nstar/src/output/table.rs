//! Tables that fit where they are shown.
//!
//! On a terminal, lines are not longer than the terminal is wide: the widest column is wrapped, and if that would not leave
//! enough of it, each row becomes a block with a line for each of its cells. Elsewhere nothing is wrapped and nothing
//! depends on a terminal, so that scripts see the same always.

use comfy_table::{
    Attribute, Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table, Width,
    presets::NOTHING,
};

pub use comfy_table::Color;

/// Blanks between two columns.
const GAP: u16 = 2;
/// Least width of a column that is wrapped.
const LEAST: u16 = 16;
/// Least width of a cell in a block: with the longest heading it fits into 20 columns.
const LEAST_OF_BLOCK: u16 = 8;

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

impl Text {
    fn cell(&self, style: Style) -> Cell {
        let cell = Cell::new(super::harmless(&self.text));
        match self.color.filter(|_| style.color) {
            Some(color) => cell.fg(color),
            None => cell,
        }
    }
}

fn heading(name: &str, style: Style) -> Cell {
    let cell = Cell::new(name);
    if style.color {
        cell.add_attribute(Attribute::Bold)
    } else {
        cell
    }
}

/// A header and rows as aligned columns, without trailing blanks.
pub fn table<const N: usize>(header: [&str; N], rows: Vec<[Text; N]>, style: Style) -> String {
    let mut table = empty(style);
    table.set_header(header.map(|name| heading(name, style)));
    for row in &rows {
        table.add_row(row.iter().map(|text| match text.is_number {
            true => text.cell(style).set_alignment(CellAlignment::Right),
            false => text.cell(style),
        }));
    }
    match style.width {
        Some(width) if !fit(&mut table, width) => blocks(header, &rows, style),
        _ => finished(table),
    }
}

fn empty(style: Style) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.force_no_tty();
    if style.color {
        table.enforce_styling();
    }
    table.set_content_arrangement(ContentArrangement::Disabled);
    table
}

fn finished(mut table: Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP));
    }
    table.trim_fmt()
}

/// Wraps the widest column if that is needed, and says whether the table is not too wide then.
fn fit(table: &mut Table, width: u16) -> bool {
    let widths = table.column_max_content_widths();
    let gaps = GAP.saturating_mul(u16::try_from(widths.len()).unwrap_or(u16::MAX));
    // Behind the last column there is none.
    let all = widths
        .iter()
        .fold(gaps, |all, width| all.saturating_add(*width))
        - GAP;
    let widest = widths.iter().enumerate().max_by_key(|(_, width)| **width);
    let (Some((index, widest)), Some(excess)) = (widest, all.checked_sub(width)) else {
        return true;
    };
    if excess == 0 {
        return true;
    }
    let left = widest.saturating_sub(excess);
    let Some(column) = table.column_mut(index) else {
        return false;
    };
    column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(left + GAP)));
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(width + GAP);
    left >= LEAST
}

/// Each row as lines of a heading and a cell, with an empty line between two rows.
fn blocks<const N: usize>(header: [&str; N], rows: &[[Text; N]], style: Style) -> String {
    let block = |row: &[Text; N]| {
        let mut table = empty(style);
        let cells = header
            .iter()
            .zip(row)
            .filter(|(_, text)| !text.text.is_empty());
        for (name, text) in cells {
            table.add_row([heading(name, style), text.cell(style)]);
        }
        let names = header.iter().map(|name| name.len()).max().unwrap_or(0);
        let names = u16::try_from(names).unwrap_or(u16::MAX).saturating_add(GAP);
        if let (Some(width), Some(column)) = (style.width, table.column_mut(0)) {
            column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(names)));
            table.set_content_arrangement(ContentArrangement::Dynamic);
            table.set_width(
                width
                    .max(names.saturating_add(LEAST_OF_BLOCK))
                    .saturating_add(GAP),
            );
        }
        finished(table)
    };
    rows.iter().map(block).collect::<Vec<_>>().join("\n\n")
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

    const HEADER: [&str; 6] = ["NAME", "VERSION", "REPOSITORY", "STATE", "PID", "UPTIME"];

    fn listed(width: u16) -> String {
        let row = |name: &str, pid: &str, uptime: &str| {
            [name, "0.0.1", "default", "running", pid, uptime].map(Text::from)
        };
        let style = Style {
            width: Some(width),
            color: false,
        };
        let long = "a-container-with-a-long-name";
        table(
            HEADER,
            vec![row(long, "42", "1m 2s"), row("b", "", "")],
            style,
        )
    }

    #[test]
    fn no_line_is_longer_than_the_terminal_and_no_heading_is_wrapped() {
        for width in [20, 28, 30, 40, 60, 70, 80, 200] {
            let text = listed(width);
            for line in text.lines() {
                assert!(line.chars().count() <= width.into(), "{width}:\n{text}");
            }
            for heading in HEADER {
                assert!(text.contains(heading), "{width}:\n{text}");
            }
            // Nothing is lost.
            let count = |text: &str| text.chars().filter(|c| !c.is_whitespace()).count();
            assert!(count(&text) >= count(&listed(200)), "{width}:\n{text}");
        }
        // What is too narrow for a heading and a word is not looked at.
        assert_eq!(listed(1), listed(20));
    }

    #[test]
    fn the_widest_column_is_wrapped_where_enough_of_it_is_left() {
        assert_eq!(
            listed(64),
            "NAME                   VERSION  REPOSITORY  STATE    PID  UPTIME\n\
             a-container-with-a-lo  0.0.1    default     running  42   1m 2s\n\
             ng-name\n\
             b                      0.0.1    default     running"
        );
    }

    #[test]
    fn rows_become_blocks_on_a_narrow_terminal() {
        assert_eq!(
            listed(40),
            "NAME        a-container-with-a-long-name\n\
             VERSION     0.0.1\n\
             REPOSITORY  default\n\
             STATE       running\n\
             PID         42\n\
             UPTIME      1m 2s\n\
             \n\
             NAME        b\n\
             VERSION     0.0.1\n\
             REPOSITORY  default\n\
             STATE       running"
        );
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
