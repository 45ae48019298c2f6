//! A turn's events for people: text on standard output, everything else on standard error.

use std::io::{IsTerminal as _, Write as _};

use beluga_core::{Event, HandoffMode, Numbered, Problem, Usage};

/// The most characters of a tool's arguments or result that are shown.
const SHOWN_MAX_CHARS: usize = 200;

/// How a turn ended.
pub(super) enum Ending {
    /// With an answer.
    Done { result: String, usage: Usage },
    /// Badly.
    Failed(Problem),
}

/// Prints the events of one turn as they come.
pub(super) struct Printer {
    text: bool,
    notes: bool,
    open_line: bool,
}

impl Printer {
    /// Makes a printer. Notes on tools and handoffs go to standard error if that is a terminal; `text` is the answer.
    pub(super) fn new(text: bool) -> Self {
        Self { text, notes: text && std::io::stderr().is_terminal(), open_line: false }
    }

    /// Prints one event. Returns the end of the turn.
    pub(super) fn event(&mut self, event: &Numbered) -> Option<Ending> {
        match &event.event {
            Event::Text { text } if self.text => self.print(text),
            Event::ToolCall { name, arguments, .. } => self.note(&format!("→ {name} {}", shorten(arguments))),
            Event::ToolResult { name, content, .. } => self.note(&format!("← {name} {}", shorten(content))),
            // In the events of a session its own agent speaks: what goes to it comes back.
            Event::Handoff { from, to, mode: HandoffMode::Return } if *to == event.agent => {
                self.note(&format!("⇐ {from} hands back to {to}"));
            }
            Event::Handoff { from, to, .. } => self.note(&format!("⇒ {from} hands over to {to}")),
            Event::Retry { attempt, discard_from } => {
                self.end_line();
                if self.text && discard_from.is_some() {
                    eprintln!("beluga: the last piece of the answer is void; try {attempt} begins");
                }
            }
            Event::Done { result, usage } => {
                self.end_line();
                return Some(Ending::Done { result: result.clone(), usage: *usage });
            }
            Event::Error { error } => {
                self.end_line();
                return Some(Ending::Failed(error.clone()));
            }
            _ => {}
        }
        None
    }

    /// Ends a line that was begun.
    pub(super) fn end_line(&mut self) {
        if std::mem::take(&mut self.open_line) {
            println!();
        }
    }

    fn print(&mut self, text: &str) {
        let mut out = std::io::stdout().lock();
        // A reader that closed the pipe wants no more; the turn ends all the same.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        if !text.is_empty() {
            self.open_line = !text.ends_with('\n');
        }
    }

    fn note(&mut self, note: &str) {
        if self.notes {
            self.end_line();
            eprintln!("\u{1b}[2m{note}\u{1b}[0m");
        }
    }
}

/// Cuts a text to one short line without control characters.
fn shorten(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN_MAX_CHARS).collect();
    if text.chars().count() > SHOWN_MAX_CHARS { format!("{line}…") } else { line }
}
