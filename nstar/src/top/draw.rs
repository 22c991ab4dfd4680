//! The screen.

use std::time::Duration;

use ratatui::{
    Frame,
    layout::{Constraint, Layout},
    style::{Color, Modifier, Style},
    text::Line,
    widgets::{Cell, Row as TableRow, Table, TableState},
};

use super::model::{Model, Row, Sort, State};
use crate::output;

/// The keys, on the last line.
const KEYS: &str =
    "q quit  ↑↓ choose  s stop  k kill  n name  c cpu  m memory  p pids  r restarts  u uptime";

/// The keys that have no letter, where there is only ASCII.
const ARROWS: (&str, &str) = ("↑↓", "up/down");

/// What is shown beside the rows.
pub struct Surroundings<'a> {
    /// Where the daemon is.
    pub title: &'a str,
    /// A question or a result; the keys without one.
    pub message: Option<&'a str>,
}

/// Columns: heading, what it is ordered by, and width.
const COLUMNS: [(&str, Sort, Constraint); 8] = [
    ("CONTAINER", Sort::Name, Constraint::Fill(1)),
    ("STATE", Sort::Name, Constraint::Length(9)),
    ("CPU%", Sort::Cpu, Constraint::Length(6)),
    ("MEMORY", Sort::Memory, Constraint::Length(8)),
    ("PEAK", Sort::Memory, Constraint::Length(8)),
    ("PIDS", Sort::Pids, Constraint::Length(5)),
    ("RESTARTS", Sort::Restarts, Constraint::Length(8)),
    ("UPTIME", Sort::Uptime, Constraint::Length(9)),
];

/// Columns that are left out on a narrow terminal, the least important first: below this width without the
/// one with this heading.
const DROPPED: [(u16, &str); 5] = [
    (80, "PEAK"),
    (70, "STATE"),
    (60, "RESTARTS"),
    (50, "PIDS"),
    (40, "UPTIME"),
];

/// Draws everything.
pub fn draw(frame: &mut Frame, model: &Model, surroundings: &Surroundings) {
    let area = frame.area();
    let [title, rows, last] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(headline(model, surroundings.title), title);
    let mut state = TableState::new().with_selected(model.selected());
    frame.render_stateful_widget(table(model, area.width), rows, &mut state);
    frame.render_widget(bottom_line(surroundings.message), last);
}

fn headline(model: &Model, title: &str) -> Line<'static> {
    let rows = model.rows();
    let running = rows.iter().filter(|row| row.state == State::Running);
    let running = running.count();
    let count = rows.len();
    let text = format!("nstar top - {title}: {count} containers, {running} running");
    Line::raw(text).style(strong())
}

/// The rows, with as many columns as fit into `width`.
fn table(model: &Model, width: u16) -> Table<'static> {
    let columns: Vec<usize> = (0..COLUMNS.len())
        .filter(|at| is_shown(*at, width))
        .collect();
    let header = columns
        .iter()
        .filter_map(|at| COLUMNS.get(*at))
        .map(|(name, sort, _)| {
            let is_key = *sort == model.sort() && *name != "STATE" && *name != "PEAK";
            Cell::new(*name).style(if is_key { strong() } else { Style::new() })
        });
    let lines = model.rows().iter().map(|row| {
        let cells = cells(row);
        let cells = columns.iter().filter_map(|at| cells.get(*at).cloned());
        TableRow::new(cells.collect::<Vec<_>>()).style(style_of(row))
    });
    let widths = columns
        .iter()
        .filter_map(|at| COLUMNS.get(*at))
        .map(|(_, _, width)| *width);
    Table::new(lines, widths)
        .header(TableRow::new(header.collect::<Vec<_>>()).style(reversed()))
        .row_highlight_style(reversed())
}

/// What is to be said, or else the keys.
fn bottom_line(message: Option<&str>) -> Line<'_> {
    match message {
        Some(message) => Line::raw(message).style(strong()),
        None => Line::raw(match output::has_utf8() {
            true => KEYS.to_owned(),
            false => KEYS.replace(ARROWS.0, ARROWS.1),
        }),
    }
}

fn is_shown(column: usize, width: u16) -> bool {
    let Some((name, ..)) = COLUMNS.get(column) else {
        return false;
    };
    !DROPPED
        .iter()
        .any(|(least, dropped)| dropped == name && width < *least)
}

fn strong() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn reversed() -> Style {
    Style::new().add_modifier(Modifier::REVERSED)
}

fn style_of(row: &Row) -> Style {
    match row.state {
        State::Running if output::has_color() => Style::new().fg(Color::Green),
        State::Running => Style::new(),
        State::Mounted | State::Installed => Style::new().add_modifier(Modifier::DIM),
    }
}

/// The texts of a row, one for each of the columns.
pub fn cells(row: &Row) -> [String; 8] {
    let number = |value: Option<u64>| value.map_or_else(unknown, |value| value.to_string());
    let bytes = |value: Option<u64>| value.map_or_else(unknown, size);
    [
        row.container.to_string(),
        row.state.as_str().to_owned(),
        row.cpu.map_or_else(unknown, |cpu| format!("{cpu:.1}")),
        bytes(row.memory),
        bytes(row.peak),
        number(row.pids),
        number(row.restarts),
        row.uptime.map_or_else(unknown, duration),
    ]
}

/// The headings, one for each of the columns.
pub fn headings() -> [&'static str; 8] {
    COLUMNS.map(|(name, ..)| name)
}

fn unknown() -> String {
    "-".to_owned()
}

/// Bytes in at most seven characters.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut rest = bytes;
    let mut tenths = 0;
    let mut unit = "B";
    for next in UNITS {
        if rest < 1024 {
            break;
        }
        tenths = (rest % 1024) * 10 / 1024;
        rest /= 1024;
        unit = next;
    }
    if unit != "B" && rest < 100 {
        format!("{rest}.{tenths}{unit}")
    } else {
        format!("{rest}{unit}")
    }
}

/// A duration in at most eight characters.
fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fit_their_columns() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.0KiB"),
            (1536, "1.5KiB"),
            (100 << 20, "100MiB"),
            (1 << 30, "1.0GiB"),
            (u64::MAX, "16383PiB"),
        ] {
            assert_eq!(size(bytes), text);
            assert!(text.len() <= 8, "{text}");
        }
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (61, "1m01s"),
            (3661, "1h01m"),
            (90_000, "1d01h"),
            (365 * 86_400, "365d00h"),
        ] {
            assert_eq!(duration(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn narrow_terminals_show_less() {
        let shown = |width| {
            let columns = (0..COLUMNS.len()).filter(|at| is_shown(*at, width));
            columns.map(|at| COLUMNS[at].0).collect::<Vec<_>>()
        };
        assert_eq!(shown(80).len(), 8);
        assert_eq!(shown(40), ["CONTAINER", "CPU%", "MEMORY", "UPTIME"]);
        assert_eq!(shown(20), ["CONTAINER", "CPU%", "MEMORY"]);
    }
}
