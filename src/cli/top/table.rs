//! The table of actors: which columns there is room for, and what stands in them.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Cell, Row as TableRow, Table};

use super::draw::Theme;
use super::snapshot::Node;
use super::text::{cut, lanes, rate, span};
use super::view::{Row, Seen, View};

/// The narrowest column of names.
const NAME_MIN_COLUMNS: u16 = 28;

/// A column: its title, its width, and whether it is aligned to the right.
struct Column {
    what: What,
    title: &'static str,
    width: u16,
    right: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Kind,
    State,
    Rate,
    Queue,
    Oldest,
    Handler,
    Restarts,
    Breaker,
}

/// The columns beside the name, in the order they stand.
const COLUMNS: [Column; 8] = [
    Column { what: What::Kind, title: "KIND", width: 13, right: false },
    Column { what: What::State, title: "STATE", width: 8, right: false },
    Column { what: What::Rate, title: "MSG/S", width: 6, right: true },
    Column { what: What::Queue, title: "QUEUE", width: 11, right: true },
    Column { what: What::Oldest, title: "OLDEST", width: 7, right: true },
    Column { what: What::Handler, title: "HANDLER", width: 7, right: true },
    Column { what: What::Restarts, title: "RST", width: 4, right: true },
    Column { what: What::Breaker, title: "BREAKER", width: 9, right: false },
];

/// The same, the most wanted first: what there is no room for is left out from the end.
const WANTED: [What; 8] =
    [What::State, What::Rate, What::Queue, What::Handler, What::Restarts, What::Oldest, What::Breaker, What::Kind];

/// Draws the rows round the cursor.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, view: &mut View, seen: &Seen, theme: Theme) {
    let rows = view.rows(seen);
    let cursor = view.cursor(&rows, seen);
    let height = usize::from(area.height.saturating_sub(1));
    let first = view.scroll(cursor, rows.len(), height);
    let columns = fitting(area.width);
    let title = |column: &&Column| Cell::from(aligned(column.title.to_owned(), column.right));
    let titles = std::iter::once(Cell::from("NAME")).chain(columns.iter().map(title));
    let header = TableRow::new(titles).style(theme.quiet().add_modifier(Modifier::BOLD));
    let shown = rows.iter().enumerate().skip(first).take(height);
    let lines = shown.filter_map(|(place, row)| {
        let node = seen.snapshot.nodes.get(row.place)?;
        let cells = columns.iter().map(|column| cell(column, node, seen, theme));
        let name = Cell::from(format!("{}{}", "  ".repeat(row.indent), marked(row)));
        let style = if place == cursor { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
        Some(TableRow::new(std::iter::once(name).chain(cells)).style(style))
    });
    let widths = std::iter::once(Constraint::Min(NAME_MIN_COLUMNS));
    let widths = widths.chain(columns.iter().map(|column| Constraint::Length(column.width)));
    frame.render_widget(Table::new(lines, widths).header(header), area);
}

/// Returns the columns there is room for.
fn fitting(width: u16) -> Vec<&'static Column> {
    let mut left = width.saturating_sub(NAME_MIN_COLUMNS);
    let mut chosen = Vec::new();
    for what in WANTED {
        let Some(column) = COLUMNS.iter().find(|column| column.what == what) else { continue };
        let Some(rest) = left.checked_sub(column.width + 1) else { break };
        left = rest;
        chosen.push(what);
    }
    COLUMNS.iter().filter(|column| chosen.contains(&column.what)).collect()
}

fn marked(row: &Row) -> String {
    let mark = match row.folded {
        Some(true) => "▸ ",
        Some(false) => "▾ ",
        None => "  ",
    };
    format!("{mark}{}", row.name)
}

fn aligned(text: String, right: bool) -> Text<'static> {
    Text::from(Line::from(text)).alignment(if right { Alignment::Right } else { Alignment::Left })
}

fn cell(column: &Column, node: &Node, seen: &Seen, theme: Theme) -> Cell<'static> {
    let age = |age: Option<u64>| age.map(span).unwrap_or_default();
    let plain = Style::new();
    let (text, style) = match column.what {
        What::Kind => (cut(&node.kind, usize::from(column.width)), theme.quiet()),
        What::State => (node.shown_state().to_owned(), state(node.shown_state(), theme)),
        What::Rate => (seen.rate_of(node).map(rate).unwrap_or_default(), plain),
        What::Queue => (lanes(node.lanes), plain),
        What::Oldest => (age(node.oldest_ms), plain),
        What::Handler => (age(node.handler_ms), plain),
        What::Restarts if node.restarts == 0 => (String::new(), plain),
        What::Restarts => (node.restarts.to_string(), theme.wary()),
        What::Breaker => {
            let breaker = node.breaker.clone().unwrap_or_default();
            let style = if breaker == "closed" || breaker.is_empty() { plain } else { theme.bad() };
            (breaker, style)
        }
    };
    Cell::from(aligned(text, column.right)).style(style)
}

fn state(state: &str, theme: Theme) -> Style {
    match state {
        "running" => theme.good(),
        "gated" | "gone" => theme.bad(),
        _ => theme.wary(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_no_room_for_is_left_out_by_importance() {
        let titles = |width| fitting(width).iter().map(|column| column.title).collect::<Vec<_>>();
        assert_eq!(titles(120).len(), 8);
        assert_eq!(titles(80), ["STATE", "MSG/S", "QUEUE", "OLDEST", "HANDLER", "RST"]);
        assert_eq!(titles(48), ["STATE", "MSG/S"]);
        assert!(titles(10).is_empty() && titles(0).is_empty());
    }
}
