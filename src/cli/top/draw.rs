//! Drawing: from the view and what was seen to the cells of a terminal.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph, Wrap};

use super::plain::{asks, millis};
use super::text::{counted, cut, rate, span};
use super::view::{Mode, Seen, View};
use super::{Link, detail, table};

/// The keys, as the help shows them.
const KEYS: [(&str, &str); 12] = [
    ("↑↓ jk", "move"),
    ("enter", "inspect"),
    ("space ←→", "fold"),
    ("/", "filter"),
    ("s", "sort"),
    ("p", "pause or resume"),
    ("r", "restart"),
    ("x", "stop for good"),
    ("K", "kill"),
    ("g G PgUp PgDn", "first, last, page"),
    ("esc", "close, clear the filter"),
    ("q", "quit"),
];

/// What the footer shows of them: as much as eighty columns hold.
const FOOT: [(&str, &str); 9] = [
    ("q", "quit"),
    ("?", "help"),
    ("enter", "look"),
    ("/", "filter"),
    ("s", "sort"),
    ("p", "pause"),
    ("r", "restart"),
    ("x", "stop"),
    ("K", "kill"),
];

/// The height from which asks and troubles have a pane.
const PANE_MIN_ROWS: u16 = 14;

/// The height below which the header is cut to one line.
const LOW_MAX_ROWS: u16 = 8;

/// The most lines of that pane.
const PANE_LINES_MAX: u16 = 6;

/// The width from which the detail stands beside the table, and the numbers of the header on one line.
const WIDE_MIN_COLUMNS: u16 = 110;

/// What colours mean; without colour only bold, dim and reversed are left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Theme {
    pub(super) has_color: bool,
}

impl Theme {
    fn colored(self, color: Color) -> Style {
        if self.has_color { Style::new().fg(color) } else { Style::new() }
    }

    pub(super) fn good(self) -> Style {
        self.colored(Color::Green)
    }

    pub(super) fn wary(self) -> Style {
        self.colored(Color::Yellow)
    }

    pub(super) fn bad(self) -> Style {
        self.colored(Color::Red).add_modifier(Modifier::BOLD)
    }

    pub(super) fn quiet(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(super) fn title(self) -> Style {
        self.colored(Color::Cyan).add_modifier(Modifier::BOLD)
    }
}

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, view: &mut View, seen: &Seen, link: &Link, theme: Theme) {
    let area = frame.area();
    let troubles = u16::try_from(seen.snapshot.troubles.len() + seen.snapshot.asks.len()).unwrap_or(u16::MAX);
    let pane = if area.height < PANE_MIN_ROWS { 0 } else { troubles.clamp(1, PANE_LINES_MAX) + 2 };
    let is_wide = area.width >= WIDE_MIN_COLUMNS;
    let head = match area.height {
        0..LOW_MAX_ROWS => 1,
        LOW_MAX_ROWS..PANE_MIN_ROWS => 2,
        _ if is_wide => 2,
        _ => 3,
    };
    let rows = [Constraint::Length(head), Constraint::Min(1), Constraint::Length(pane), Constraint::Length(1)];
    let [top, middle, below, bottom] = Layout::vertical(rows).areas(area);
    header(frame, top, view, seen, link, theme);
    if view.inspects {
        let split = [Constraint::Percentage(55), Constraint::Percentage(45)];
        let layout = if is_wide { Layout::horizontal(split) } else { Layout::vertical(split) };
        let [list, detail] = layout.areas(middle);
        table::draw(frame, list, view, seen, theme);
        inspect(frame, detail, view, seen, theme);
    } else {
        table::draw(frame, middle, view, seen, theme);
    }
    if pane > 0 {
        concerns(frame, below, seen, theme);
    }
    footer(frame, bottom, view, theme);
    if view.mode == Mode::Help {
        help(frame, middle, theme);
    }
}

fn header(frame: &mut Frame<'_>, area: Rect, view: &View, seen: &Seen, link: &Link, theme: Theme) {
    let numbers = &seen.snapshot.numbers;
    let mut first = vec![Span::styled(cut(&numbers.name, 40), theme.title()), Span::raw(format!("  {}", link.url))];
    match &link.lost {
        Some((since, why)) => {
            let text = format!("  NO ANSWER for {}: {}; trying again", span(millis(*since)), cut(why, 200));
            first.push(Span::styled(text, theme.bad().add_modifier(Modifier::REVERSED)));
        }
        None => {
            let uptime = numbers.uptime.map(|up| format!("  up {}", span(millis(up)))).unwrap_or_default();
            first.push(Span::raw(uptime));
        }
    }
    if view.sort != super::view::Sort::Tree {
        first.push(Span::styled(format!("  by {}", view.sort.name()), theme.wary()));
    }
    if !view.filter.is_empty() && view.mode != Mode::Filter {
        first.push(Span::styled(format!("  /{}", cut(&view.filter, 30)), theme.wary()));
    }
    let rates = seen.rates.as_ref();
    let speed = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), rate);
    let mut second = vec![
        Span::raw(format!("{}  {}  ", counted(numbers.actors, "actor"), counted(numbers.jobs, "job"))),
        Span::styled(format!("{} msg/s", speed(rates.map(|rates| rates.messages))), theme.good()),
        Span::raw(format!("  {} waiting", numbers.waiting)),
    ];
    let mut add = |text: String, alarms: bool, style: Style| {
        second.push(Span::raw("  "));
        second.push(Span::styled(text, if alarms { style } else { Style::new() }));
    };
    if let Some(dead) = numbers.dead_letters {
        let speed = rates.and_then(|rates| rates.dead_letters);
        let per_second = speed.map_or_else(|| "–".to_owned(), rate);
        let text = format!("{} ({per_second}/s)", counted(dead, "dead letter"));
        add(text, speed.is_some_and(|speed| speed > 0.0), theme.wary());
    }
    add(counted(numbers.restarts, "restart"), false, theme.wary());
    add(format!("{} open", counted(numbers.open_breakers, "breaker")), numbers.open_breakers > 0, theme.bad());
    add(format!("{} gated", numbers.gated), numbers.gated > 0, theme.bad());
    add(format!("{} paused", numbers.paused), numbers.paused > 0, theme.wary());
    let lines = Paragraph::new(vec![Line::from(first), Line::from(second)]);
    frame.render_widget(lines.wrap(Wrap { trim: true }), area);
}

/// The pane of asks in flight and troubles, the troubles first.
fn concerns(frame: &mut Frame<'_>, area: Rect, seen: &Seen, theme: Theme) {
    let snapshot = &seen.snapshot;
    let troubles = snapshot.troubles.iter().map(|line| Line::styled(cut(line, 500), theme.bad()));
    let asks = asks(seen).map(|ask| Line::from(format!("ask       {ask}")));
    let mut lines: Vec<Line<'_>> = troubles.chain(asks).take(usize::from(PANE_LINES_MAX)).collect();
    if lines.is_empty() {
        lines.push(Line::styled("no ask in flight, no trouble", theme.quiet()));
    }
    let asked = snapshot.numbers.asks_in_flight.unwrap_or(snapshot.asks.len() as u64);
    let title =
        format!(" {} in flight, {} ", counted(asked, "ask"), counted(snapshot.troubles.len() as u64, "trouble"));
    let block = Block::new().borders(Borders::TOP | Borders::BOTTOM).title(Span::styled(title, theme.title()));
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn inspect(frame: &mut Frame<'_>, area: Rect, view: &View, seen: &Seen, theme: Theme) {
    let block = Block::bordered().title(Span::styled(" actor ", theme.title()));
    let lines = view.selected(seen).map(|node| detail::lines(node, seen)).unwrap_or_default();
    let lines: Vec<Line<'_>> = lines.into_iter().map(Line::from).collect();
    frame.render_widget(Paragraph::new(lines).block(block).wrap(Wrap { trim: false }), area);
}

fn footer(frame: &mut Frame<'_>, area: Rect, view: &View, theme: Theme) {
    let line = match (&view.mode, &view.notice) {
        (Mode::Confirm(_, name), _) => {
            let text = format!("stop {} for good? what waits for it is lost (y/n)", cut(name, 60));
            Line::styled(text, theme.bad().add_modifier(Modifier::REVERSED))
        }
        (Mode::Filter, _) => Line::from(format!("/{}▏ enter keeps it, esc clears it", view.filter)),
        (_, Some((text, failed))) => Line::styled(cut(text, 300), if *failed { theme.bad() } else { theme.good() }),
        _ => {
            let key = |(key, what)| [Span::styled(key, theme.title()), Span::raw(format!(" {what}  "))];
            Line::from_iter(FOOT.into_iter().flat_map(key))
        }
    };
    frame.render_widget(Paragraph::new(line), area);
}

fn help(frame: &mut Frame<'_>, area: Rect, theme: Theme) {
    let width = area.width.min(52);
    let height = area.height.min(u16::try_from(KEYS.len()).unwrap_or(u16::MAX).saturating_add(6));
    let place = Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    let keys = KEYS.into_iter().map(|(key, what)| {
        Line::from_iter([Span::styled(format!("{key:>14}"), theme.title()), Span::raw(format!("  {what}"))])
    });
    let words = [
        "",
        "QUEUE  control/interrupt/normal/bulk",
        "OLDEST  how long the oldest message waits",
        "HANDLER  how long the handler awaits, a job runs",
    ];
    let lines: Vec<Line<'_>> = keys.chain(words.map(Line::from)).collect();
    frame.render_widget(Clear, place);
    let block = Block::bordered().title(Span::styled(" keys ", theme.title()));
    frame.render_widget(Paragraph::new(lines).block(block), place);
}

#[cfg(test)]
mod tests;
