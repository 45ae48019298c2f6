//! What became of each message: who wrote it down, and whether that is a fate a message may have.

use std::collections::HashMap;
use std::sync::Arc;

use beluga_core::{Code, Result};
use beluga_runtime::{DeadLetter, DeadReason};
use parking_lot::Mutex;

/// How one message went, from its sender's side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Sent {
    Told(Option<Code>),
    Asked(Option<Code>),
    /// The sender left before it knew.
    GivenUp,
}

impl Sent {
    pub(super) fn told(outcome: &Result<()>) -> Self {
        Sent::Told(outcome.as_ref().err().map(beluga_core::Error::code))
    }

    pub(super) fn asked<T>(outcome: &Result<T>) -> Self {
        Sent::Asked(outcome.as_ref().err().map(beluga_core::Error::code))
    }
}

#[derive(Debug, Default, Clone)]
struct Line {
    key: usize,
    sender: usize,
    sent: Option<Sent>,
    begun: u32,
    done: u32,
    letters: u32,
}

/// Shared by senders and receivers.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger(Arc<Mutex<Pages>>);

#[derive(Debug, Default)]
struct Pages {
    /// By number; numbers rise with the order in which a sender sends.
    lines: Vec<Line>,
    /// The order in which messages were begun.
    order: Vec<usize>,
    /// How many values of a key live.
    living: HashMap<usize, u32>,
    overlaps: u32,
}

impl Ledger {
    pub(super) fn open(&self, key: usize, sender: usize) -> usize {
        let mut pages = self.0.lock();
        pages.lines.push(Line { key, sender, ..Line::default() });
        pages.lines.len() - 1
    }

    pub(super) fn sent(&self, number: usize, sent: Sent) {
        self.0.lock().lines[number].sent = Some(sent);
    }

    pub(super) fn begun(&self, number: usize) {
        let mut pages = self.0.lock();
        pages.lines[number].begun += 1;
        pages.order.push(number);
    }

    pub(super) fn done(&self, number: usize) {
        self.0.lock().lines[number].done += 1;
    }

    pub(super) fn built(&self, key: usize) {
        let mut pages = self.0.lock();
        let living = pages.living.entry(key).or_default();
        *living += 1;
        pages.overlaps += u32::from(pages.living[&key] > 1);
    }

    pub(super) fn dropped(&self, key: usize) {
        *self.0.lock().living.entry(key).or_default() -= 1;
    }

    /// Returns every fate that no message may have, once nothing runs any more. A message may be buried with its actor
    /// only if somebody stopped that for good.
    pub(super) fn faults(&self, letters: &[DeadLetter], may_be_stopped: bool) -> Vec<String> {
        let mut pages = self.0.lock();
        let mut faults: Vec<String> = Vec::new();
        for letter in letters {
            if letter.reason == DeadReason::Stopped && !may_be_stopped {
                faults.push(format!("buried although nobody stopped the actor: {letter:?}"));
            }
            // A message nobody accepted is its sender's error and keeps no text.
            let number = letter.payload.as_deref().and_then(number_of);
            if let Some(line) = number.and_then(|number| pages.lines.get_mut(number)) {
                line.letters += 1;
            }
        }
        let lines = pages.lines.iter().enumerate();
        faults.extend(lines.filter_map(|(number, line)| Some(format!("{number}: {} {line:?}", fault(line)?))));
        let mut latest: HashMap<(usize, usize), usize> = HashMap::new();
        for number in pages.order.iter().copied() {
            let line = &pages.lines[number];
            if latest.insert((line.key, line.sender), number).is_some_and(|before| before >= number) {
                faults.push(format!("{number}: out of order"));
            }
        }
        if pages.overlaps > 0 {
            faults.push(format!("{} values of one key at a time", pages.overlaps));
        }
        if pages.living.values().any(|living| *living > 0) {
            faults.push(format!("still alive: {:?}", pages.living));
        }
        faults
    }
}

/// Returns the number a dead letter's payload names.
fn number_of(payload: &str) -> Option<usize> {
    payload.split("number: ").nth(1)?.split(',').next()?.parse().ok()
}

fn fault(line: &Line) -> Option<&'static str> {
    let Line { begun, done, letters, .. } = *line;
    if begun > 1 || done > 1 {
        return Some("handled more than once");
    }
    if done + letters > 1 {
        return Some("handled, and a dead letter");
    }
    if begun == 1 && done + letters == 0 {
        return Some("begun and forgotten");
    }
    match line.sent {
        None => Some("its sender never learned"),
        Some(Sent::GivenUp) => None,
        Some(Sent::Told(None)) => (done + letters != 1).then_some("accepted and lost"),
        Some(Sent::Told(Some(code))) if !is_refusal(code) => Some("refused for no good reason"),
        Some(Sent::Told(Some(_))) => (begun != 0 || letters != 0).then_some("refused and still there"),
        Some(Sent::Asked(None)) => (done != 1).then_some("answered and not handled"),
        // It may have run, and then somebody wrote that down.
        Some(Sent::Asked(Some(Code::UnknownOutcome))) => (letters != 1).then_some("lost without a dead letter"),
        Some(Sent::Asked(Some(Code::Timeout | Code::Cancelled))) => None,
        Some(Sent::Asked(Some(code))) if !is_refusal(code) && code != Code::NotSent => {
            Some("refused for no good reason")
        }
        Some(Sent::Asked(Some(_))) => (begun != 0).then_some("refused and still handled"),
    }
}

/// Returns whether a sender may hear that: no place, a gate, or an activation that failed on purpose.
fn is_refusal(code: Code) -> bool {
    matches!(code, Code::Unavailable | Code::Overloaded | Code::NotFound | Code::Config | Code::Internal)
}
