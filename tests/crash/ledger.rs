//! What one client has seen of a session over all its connections, with the rules no client may see broken.

use serde_json::Value;

use crate::support::{NodeProcess, Reader, SseItem};
use crate::world::SESSION;

/// The events a client has seen, oldest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    pub(crate) seen: Vec<SseItem>,
}

impl Ledger {
    /// Returns where the client would go on.
    pub(crate) fn cursor(&self) -> Option<u64> {
        self.seen.last().and_then(|event| event.id)
    }

    /// Reads to the end of a connection, whatever ends it.
    pub(crate) fn read(&mut self, reader: &mut Reader) {
        while let Some(event) = reader.event() {
            self.push(event);
        }
    }

    /// Reads until so many events have been seen.
    pub(crate) fn read_up_to(&mut self, reader: &mut Reader, count: usize) {
        while self.seen.len() < count {
            let event = reader.event().expect("the stream goes on");
            self.push(event);
        }
    }

    /// Connects again from the cursor and reads until the turn ends.
    pub(crate) fn follow(&mut self, node: &NodeProcess) {
        let mut reader = node.events(SESSION, "?follow=true", self.cursor());
        assert_eq!(reader.status, 200);
        self.read_to_the_end(&mut reader);
    }

    /// Reads until the turn ends.
    pub(crate) fn read_to_the_end(&mut self, reader: &mut Reader) {
        while !self.seen.last().is_some_and(|event| event.event == "done" || event.event == "error") {
            let event = reader.event().unwrap_or_else(|| panic!("the turn ends: {:#?}", self.seen));
            self.push(event);
        }
    }

    /// Notes an event: its number is above all before it.
    pub(crate) fn push(&mut self, event: SseItem) {
        assert!(event.id.is_some() && event.id > self.cursor(), "{event:?} after {:#?}", self.seen);
        assert_eq!((&event.data["number"], event.data["type"].as_str()), (&event.id.into(), Some(&*event.event)));
        self.seen.push(event);
    }

    /// Returns what counts: each `retry` voids what its number range says.
    pub(crate) fn kept(&self) -> Vec<&SseItem> {
        let mut kept: Vec<&SseItem> = Vec::new();
        for event in &self.seen {
            if event.event == "retry" {
                let from = event.data["discard_from"].as_u64().expect("a retry says what is void");
                assert!(Some(from) <= event.id, "it voids what came before: {event:?}");
                kept.retain(|earlier| earlier.id < Some(from));
            } else {
                kept.push(event);
            }
        }
        kept
    }

    /// Tells what counts as lines, text in one piece, without numbers and times: the same for every reader of a turn.
    pub(crate) fn story(&self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        let mut in_text = false;
        for event in self.kept() {
            let is_text = event.event == "text";
            match (lines.last_mut(), event.data["text"].as_str()) {
                (Some(line), Some(text)) if is_text && in_text => line.push_str(text),
                (_, Some(text)) if is_text => lines.push(format!("text: {text}")),
                _ => lines.push(format!("{}: {}", event.event, plain(&event.data))),
            }
            in_text = is_text;
        }
        lines
    }

    /// Returns whether a tool's outcome is unknown.
    pub(crate) fn has_unknown(&self) -> bool {
        self.kept().iter().any(|event| event.data["outcome"] == "unknown")
    }

    /// Counts the events of a name among what counts.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.kept().iter().filter(|event| event.event == name).count()
    }

    /// Checks that a client with any cursor of this one gets the same story, and no number with another content.
    pub(crate) fn check_every_cursor(&self, node: &NodeProcess, place: &str) {
        let cursors = self.seen.iter().map(|event| event.id);
        for (count, cursor) in std::iter::once(None).chain(cursors).enumerate() {
            let mut other = Ledger { seen: self.seen[..count].to_vec() };
            other.read(&mut node.events(SESSION, "?follow=false", cursor));
            assert_eq!(other.story(), self.story(), "{place}: from cursor {cursor:?}\n{:#?}\n{:#?}", other, self);
            for event in &other.seen {
                let same = self.seen.iter().find(|mine| mine.id == event.id);
                // A text's number is its last piece's: pieces may come together in one event, never as other text.
                let is_same = same.is_none_or(|mine| match (mine.data["text"].as_str(), event.data["text"].as_str()) {
                    (Some(mine), Some(text)) => mine.ends_with(text) || text.ends_with(mine),
                    _ => mine.data == event.data,
                });
                assert!(is_same, "{place}: number {:?} is {same:?} and {event:?}", event.id);
            }
        }
    }
}

/// The data without what differs between runs.
fn plain(data: &Value) -> String {
    let mut data = data.clone();
    for field in ["number", "at_ms", "meta", "type"] {
        data.as_object_mut().unwrap().remove(field);
    }
    data.to_string()
}
