//! What is shown of a node, and what keys do: pure state, without a terminal and without a node.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::rates::Rates;
use super::snapshot::{Node, Snapshot};

/// The longest filter, in letters.
const FILTER_MAX_CHARS: usize = 64;

/// A look at a node, compared with the one before.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) snapshot: Snapshot,
    /// `None` until there are two looks at one process.
    pub(super) rates: Option<Rates>,
}

impl Seen {
    /// Returns how many messages an actor handles per second, if that is known.
    pub(super) fn rate_of(&self, node: &Node) -> Option<f64> {
        let rates = self.rates.as_ref()?;
        (!node.is_job()).then(|| rates.of(node.id))
    }
}

/// What can be done with an actor, as the routes of the node are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Pause,
    Resume,
    Restart,
    Stop,
    Kill,
}

impl Change {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Restart => "restart",
            Self::Stop => "stop",
            Self::Kill => "kill",
        }
    }
}

/// What a key asks of whoever holds the view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    /// Nothing but a new drawing.
    Draw,
    /// A new look at the node, for another actor is inspected.
    Look,
    /// A change of the actor of this number and name.
    Change(Change, u64, String),
    Quit,
}

/// By what rows are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Sort {
    #[default]
    Tree,
    Rate,
    Queue,
    Handler,
    Restarts,
}

impl Sort {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tree => "tree",
            Self::Rate => "msg/s",
            Self::Queue => "queue",
            Self::Handler => "handler age",
            Self::Restarts => "restarts",
        }
    }

    fn next(self) -> Self {
        match self {
            Self::Tree => Self::Rate,
            Self::Rate => Self::Queue,
            Self::Queue => Self::Handler,
            Self::Handler => Self::Restarts,
            Self::Restarts => Self::Tree,
        }
    }

    /// Compares two nodes, the greater one first.
    fn compare(self, seen: &Seen, a: &Node, b: &Node) -> Ordering {
        let rate = |node: &Node| seen.rate_of(node).unwrap_or_default();
        match self {
            Self::Tree => Ordering::Equal,
            Self::Rate => rate(b).total_cmp(&rate(a)),
            Self::Queue => b.waiting().cmp(&a.waiting()),
            Self::Handler => b.handler_ms.cmp(&a.handler_ms),
            Self::Restarts => b.restarts.cmp(&a.restarts),
        }
    }
}

/// What keys mean at the moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Mode {
    #[default]
    Browse,
    /// The filter is typed.
    Filter,
    /// A stop waits for its confirmation: number and name.
    Confirm(u64, String),
    Help,
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// The node's place in the snapshot.
    pub(super) place: usize,
    pub(super) indent: usize,
    pub(super) name: String,
    /// Whether what is below is hidden; `None` if nothing is.
    pub(super) folded: Option<bool>,
}

/// What the user chose.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) mode: Mode,
    pub(super) sort: Sort,
    pub(super) filter: String,
    pub(super) inspects: bool,
    /// What was done last, and whether it went wrong.
    pub(super) notice: Option<(String, bool)>,
    folded: BTreeSet<String>,
    selected: String,
    /// Where the selected row was, for when it is gone.
    cursor: usize,
    /// The first row on the screen.
    offset: usize,
    /// How many rows were on the screen.
    page: usize,
}

impl View {
    /// Returns the rows to show, in order.
    pub(super) fn rows(&self, seen: &Seen) -> Vec<Row> {
        match self.sort {
            Sort::Tree if self.filter.is_empty() => self.unfolded(seen),
            Sort::Tree => self.matching_branches(seen),
            _ => self.sorted(seen),
        }
    }

    /// Returns the place of the selected row: where its actor is now, or where it was.
    pub(super) fn cursor(&self, rows: &[Row], seen: &Seen) -> usize {
        let named = |row: &Row| seen.snapshot.nodes.get(row.place).is_some_and(|node| node.name == self.selected);
        let found = rows.get(self.cursor).filter(|row| named(row)).map(|_| self.cursor);
        let found = found.or_else(|| rows.iter().position(named));
        found.unwrap_or_else(|| self.cursor.min(rows.len().saturating_sub(1)))
    }

    /// Returns the actor or job that is selected.
    pub(super) fn selected<'a>(&self, seen: &'a Seen) -> Option<&'a Node> {
        let rows = self.rows(seen);
        seen.snapshot.nodes.get(rows.get(self.cursor(&rows, seen))?.place)
    }

    /// Moves the window of `height` rows so that the cursor is inside; returns its first row.
    pub(super) fn scroll(&mut self, cursor: usize, count: usize, height: usize) -> usize {
        self.page = height.max(1);
        let last = count.saturating_sub(self.page);
        self.offset = self.offset.clamp((cursor + 1).saturating_sub(self.page), cursor).min(last);
        self.offset
    }

    /// Takes a key.
    pub(super) fn on_key(&mut self, key: KeyEvent, seen: &Seen) -> Wish {
        self.notice = None;
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return if key.code == KeyCode::Char('c') { Wish::Quit } else { Wish::Draw };
        }
        match std::mem::take(&mut self.mode) {
            Mode::Browse => self.browse(key.code, seen),
            Mode::Filter => self.type_filter(key.code),
            Mode::Help => Wish::Draw,
            Mode::Confirm(id, name) => match key.code {
                KeyCode::Char('y' | 'Y') => Wish::Change(Change::Stop, id, name),
                _ => Wish::Draw,
            },
        }
    }

    fn browse(&mut self, key: KeyCode, seen: &Seen) -> Wish {
        let page = isize::try_from(self.page).unwrap_or(isize::MAX);
        match key {
            KeyCode::Char('q') => return Wish::Quit,
            KeyCode::Char('?') => self.mode = Mode::Help,
            KeyCode::Char('/') => self.mode = Mode::Filter,
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Down | KeyCode::Char('j') => return self.go(1, seen),
            KeyCode::Up | KeyCode::Char('k') => return self.go(-1, seen),
            KeyCode::PageDown => return self.go(page, seen),
            KeyCode::PageUp => return self.go(-page, seen),
            KeyCode::Home | KeyCode::Char('g') => return self.go(isize::MIN, seen),
            KeyCode::End | KeyCode::Char('G') => return self.go(isize::MAX, seen),
            KeyCode::Char(' ') => self.fold(seen, None),
            KeyCode::Right => self.fold(seen, Some(false)),
            KeyCode::Left => return self.fold_or_leave(seen),
            KeyCode::Enter => {
                self.inspects = !self.inspects;
                return Wish::Look;
            }
            KeyCode::Esc if self.inspects => self.inspects = false,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Char(letter @ ('p' | 'r' | 'x' | 'K')) => return self.change(letter, seen),
            _ => {}
        }
        Wish::Draw
    }

    fn type_filter(&mut self, key: KeyCode) -> Wish {
        match key {
            KeyCode::Enter => return Wish::Draw,
            KeyCode::Esc => {
                self.filter.clear();
                return Wish::Draw;
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(letter) if self.filter.chars().count() < FILTER_MAX_CHARS => self.filter.push(letter),
            _ => {}
        }
        self.mode = Mode::Filter;
        Wish::Draw
    }

    fn change(&mut self, letter: char, seen: &Seen) -> Wish {
        let Some(node) = self.selected(seen) else { return Wish::Draw };
        if node.is_job() {
            self.notice = Some(("a job is changed through its actor".to_owned(), true));
            return Wish::Draw;
        }
        let (id, name) = (node.id, node.name.clone());
        let change = match letter {
            'p' if node.paused => Change::Resume,
            'p' => Change::Pause,
            'r' => Change::Restart,
            'K' => Change::Kill,
            _ => {
                self.mode = Mode::Confirm(id, name);
                return Wish::Draw;
            }
        };
        Wish::Change(change, id, name)
    }

    fn go(&mut self, by: isize, seen: &Seen) -> Wish {
        let rows = self.rows(seen);
        let to = self.cursor(&rows, seen).saturating_add_signed(by).min(rows.len().saturating_sub(1));
        self.select(to, &rows, seen);
        if self.inspects { Wish::Look } else { Wish::Draw }
    }

    fn select(&mut self, to: usize, rows: &[Row], seen: &Seen) {
        self.cursor = to;
        let node = rows.get(to).and_then(|row| seen.snapshot.nodes.get(row.place));
        self.selected = node.map(|node| node.name.clone()).unwrap_or_default();
    }

    /// Hides or shows what is below the selected actor; `None` turns it round.
    fn fold(&mut self, seen: &Seen, fold: Option<bool>) {
        let Some(node) = self.selected(seen).filter(|node| node.has_children) else { return };
        let name = node.name.clone();
        let fold = fold.unwrap_or_else(|| !self.folded.contains(&name));
        if fold {
            self.selected.clone_from(&name);
            self.folded.insert(name);
        } else {
            self.folded.remove(&name);
        }
    }

    /// Hides what is below the selected actor, or goes to the one above if there is nothing to hide.
    fn fold_or_leave(&mut self, seen: &Seen) -> Wish {
        let rows = self.rows(seen);
        let at = self.cursor(&rows, seen);
        let Some(row) = rows.get(at) else { return Wish::Draw };
        if row.folded == Some(false) {
            self.fold(seen, Some(true));
            return Wish::Draw;
        }
        let above = rows.iter().take(at).rposition(|other| other.indent < row.indent);
        self.select(above.unwrap_or(at), &rows, seen);
        if self.inspects { Wish::Look } else { Wish::Draw }
    }

    /// The tree without what is folded away.
    fn unfolded(&self, seen: &Seen) -> Vec<Row> {
        let mut below: Option<usize> = None;
        let mut rows = Vec::new();
        for (place, node) in seen.snapshot.nodes.iter().enumerate() {
            if below.is_some_and(|depth| node.depth > depth) {
                continue;
            }
            let folded = node.has_children && self.folded.contains(&node.name);
            below = folded.then_some(node.depth);
            rows.push(branch(place, node, node.has_children.then_some(folded)));
        }
        rows
    }

    /// Nodes that match, and those above them.
    fn matching_branches(&self, seen: &Seen) -> Vec<Row> {
        let nodes = &seen.snapshot.nodes;
        let mut rows = Vec::new();
        // From the last one back: a node is kept if it matches, or if the one below it that was kept last is its own.
        let mut child: Option<usize> = None;
        for (place, node) in nodes.iter().enumerate().rev() {
            let is_above = child.is_some_and(|depth| depth == node.depth + 1);
            if is_above || self.matches(node) {
                rows.push(branch(place, node, is_above.then_some(false)));
                child = Some(node.depth);
            }
        }
        rows.reverse();
        rows
    }

    /// Nodes that match, by the order that was chosen; equal ones stay in the order of the tree.
    fn sorted(&self, seen: &Seen) -> Vec<Row> {
        let nodes = seen.snapshot.nodes.iter().enumerate().filter(|(_, node)| self.matches(node));
        let mut nodes: Vec<(usize, &Node)> = nodes.collect();
        nodes.sort_by(|(_, a), (_, b)| self.sort.compare(seen, a, b));
        let row = |(place, node): (usize, &Node)| Row { place, indent: 0, name: node.name.clone(), folded: None };
        nodes.into_iter().map(row).collect()
    }

    fn matches(&self, node: &Node) -> bool {
        let wanted = self.filter.to_lowercase();
        [node.name.as_str(), &node.kind, node.shown_state()].iter().any(|text| text.to_lowercase().contains(&wanted))
    }
}

fn branch(place: usize, node: &Node, folded: Option<bool>) -> Row {
    let more = if node.truncated > 0 { format!(" (+{} not shown)", node.truncated) } else { String::new() };
    Row { place, indent: node.depth, name: format!("{}{more}", node.label()), folded }
}

#[cfg(test)]
mod tests;
