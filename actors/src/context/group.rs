//! A conversation as groups of messages that stay together, and the choice among them.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use beluga_core::{ChatMessage, Code, Error, Result, Role};

use super::{Fit, Messages};

/// Messages that are kept or left out together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) range: Range<usize>,
    pub(super) tokens: u64,
    /// Whether it begins with what somebody asked, so that a conversation may begin here.
    pub(super) opens: bool,
}

/// The groups of a conversation, oldest first, and which of them must stay.
pub(super) struct Groups {
    pub(super) all: Vec<Group>,
    /// The group of the last question.
    question: usize,
}

impl Groups {
    /// Takes a conversation apart; `None` for an empty one.
    pub(super) fn of(fit: &Fit) -> Option<Self> {
        let messages = fit.messages.as_slice();
        let mut all = Vec::new();
        for range in ranges(messages) {
            let Some(inside) = messages.get(range.clone()) else { continue };
            let opens = inside.first().is_some_and(|first| first.role == Role::User);
            all.push(Group { range, tokens: fit.tokenizer.count_messages(inside), opens });
        }
        let last = all.len().checked_sub(1)?;
        let question = all.iter().rposition(|group| group.opens).unwrap_or(last);
        Some(Self { all, question })
    }

    /// Returns whether a group must stay: that of the last question, and the newest.
    pub(super) fn stays(&self, index: usize) -> bool {
        index == self.question || index + 1 == self.all.len()
    }

    /// Returns the tokens of what must stay.
    pub(super) fn least(&self) -> u64 {
        self.tokens(|index| self.stays(index))
    }

    pub(super) fn tokens(&self, is_kept: impl Fn(usize) -> bool) -> u64 {
        let kept = self.all.iter().enumerate().filter(|(index, _)| is_kept(*index));
        kept.fold(0, |sum, (_, group)| sum.saturating_add(group.tokens))
    }

    /// Returns the newest that fit, without a gap but behind the last question, beginning with a question.
    ///
    /// # Errors
    /// `context_length` if what must stay is above the budget.
    pub(super) fn newest(&self, budget_tokens: u64) -> Result<Vec<bool>> {
        let mut kept: Vec<bool> = (0..self.all.len()).map(|index| self.stays(index)).collect();
        let mut tokens = self.least();
        if tokens > budget_tokens {
            return Err(Error::new(Code::ContextLength, "the last question and the newest round do not fit")
                .with_op("context.fit")
                .with("tokens", tokens)
                .with("budget_tokens", budget_tokens));
        }
        for (index, (group, kept)) in self.all.iter().zip(&mut kept).enumerate().rev() {
            if self.stays(index) {
                continue;
            }
            tokens = tokens.saturating_add(group.tokens);
            if tokens > budget_tokens {
                break;
            }
            *kept = true;
        }
        for (index, (group, kept)) in self.all.iter().zip(&mut kept).enumerate() {
            if *kept && (group.opens || self.stays(index)) {
                break;
            }
            *kept = false;
        }
        Ok(kept)
    }

    /// Returns the kept groups' messages.
    pub(super) fn pick(&self, messages: &[Arc<ChatMessage>], kept: &[bool]) -> Vec<Arc<ChatMessage>> {
        let ranges = self.all.iter().zip(kept).filter(|(_, kept)| **kept).map(|(group, _)| group.range.clone());
        ranges.filter_map(|range| messages.get(range)).flatten().cloned().collect()
    }
}

/// Fits a conversation by leaving out what is oldest.
///
/// # Errors
/// `context_length` if what must stay is above the budget.
pub(super) fn keep_newest(fit: &Fit) -> Result<Messages> {
    let Some(groups) = Groups::of(fit) else { return Ok(Arc::clone(&fit.messages)) };
    let kept = groups.newest(fit.budget_tokens)?;
    Ok(Arc::new(groups.pick(&fit.messages, &kept)))
}

/// Returns where groups begin and end. Neighbouring answers are one group, for thinking may stand before the call it led
/// to; and so is everything from a call to its result.
fn ranges(messages: &[Arc<ChatMessage>]) -> Vec<Range<usize>> {
    // Up to which message each message's group reaches.
    let mut reach: Vec<usize> = (0..messages.len()).collect();
    let mut calls: HashMap<&str, usize> = HashMap::new();
    let mut joined = |from: usize, to: usize| {
        if let Some(end) = reach.get_mut(from) {
            *end = (*end).max(to);
        }
    };
    let mut before = None;
    for (index, message) in messages.iter().enumerate() {
        if message.role == Role::Assistant && before == Some(Role::Assistant) {
            joined(index - 1, index);
        }
        for result in message.results() {
            if let Some(call) = calls.get(result.call_id.as_str()) {
                joined(*call, index);
            }
        }
        for call in message.tool_calls() {
            calls.insert(&call.id, index);
        }
        before = Some(message.role);
    }
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for (index, end) in reach.into_iter().enumerate() {
        match ranges.last_mut() {
            Some(last) if index < last.end => last.end = last.end.max(end + 1),
            _ => ranges.push(index..end + 1),
        }
    }
    ranges
}
