//! Having a model say what is oldest shorter.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;

use beluga_core::{
    BoxFuture, ChatMessage, ChatModel, Code, Error, GenerateOptions, ModelRequest, Part, Result, Tokenizer,
};
use parking_lot::Mutex;

use super::group::{Groups, keep_newest};
use super::{ContextManager, Fit, Messages};

/// The most summaries a manager keeps, one a conversation; the oldest goes first and is made anew when needed.
pub const SUMMARIES_MAX: usize = 64;

/// The most tokens of a summary; less where a quarter of the budget is less.
pub const SUMMARY_TOKENS_MAX: u64 = 1_024;

/// The most bytes of one message that are shown to the model that summarises.
const SHOWN_MAX_BYTES: usize = 4 * 1024;

/// The most bytes that are shown to it at once; of more, the newest.
const TRANSCRIPT_MAX_BYTES: usize = 256 * 1024;

/// What the model is told to do.
const INSTRUCTIONS: &str = "Summarise the conversation below for the assistant who goes on with it. Keep names, \
    numbers, decisions, what is open, and what tools answered. Write plain sentences and nothing else.";

/// What stands before a summary.
const HEADING: &str = "Summary of the conversation so far:\n";

/// Replaces what is oldest by a model's summary of it.
///
/// A summary is kept as long as it and what came after it fit, and goes into the next one, so the model is asked once in
/// about half a budget of conversation. What the model costs is not in the turn's usage. Its failure is the turn's.
#[derive(Debug)]
pub struct Summarise {
    model: Arc<dyn ChatModel>,
    summaries: Mutex<VecDeque<Summary>>,
}

/// A summary of the first messages of a conversation.
#[derive(Debug, Clone)]
struct Summary {
    /// How many messages.
    covered: usize,
    /// The last of them. Held, so that no other message can have its address.
    last: Arc<ChatMessage>,
    message: Arc<ChatMessage>,
}

impl Summary {
    fn is_of(&self, messages: &[Arc<ChatMessage>]) -> bool {
        let last = self.covered.checked_sub(1).and_then(|last| messages.get(last));
        last.is_some_and(|last| Arc::ptr_eq(last, &self.last))
    }

    /// Returns the summary and what came after it.
    fn applied(&self, messages: &[Arc<ChatMessage>]) -> Vec<Arc<ChatMessage>> {
        [&self.message].into_iter().chain(messages.iter().skip(self.covered)).cloned().collect()
    }
}

impl Summarise {
    /// Has this model summarise.
    #[must_use]
    pub fn new(model: impl ChatModel) -> Self {
        Self { model: Arc::new(model), summaries: Mutex::default() }
    }

    fn known(&self, messages: &[Arc<ChatMessage>]) -> Option<Summary> {
        let summaries = self.summaries.lock();
        summaries.iter().filter(|summary| summary.is_of(messages)).max_by_key(|summary| summary.covered).cloned()
    }

    async fn shorten(&self, fit: &Fit) -> Result<Messages> {
        let known = self.known(&fit.messages);
        if let Some(applied) = known.as_ref().map(|summary| summary.applied(&fit.messages))
            && fit.tokenizer.count_messages(&applied) <= fit.budget_tokens
        {
            return Ok(Arc::new(applied));
        }
        let Some(groups) = Groups::of(fit) else { return Ok(Arc::clone(&fit.messages)) };
        let allowed = (fit.budget_tokens / 4).min(SUMMARY_TOKENS_MAX);
        let room = fit.budget_tokens.saturating_sub(allowed);
        if groups.least() > room {
            // There is no room for a summary beside what must stay.
            return keep_newest(fit);
        }
        let kept = groups.newest((fit.budget_tokens / 2).max(groups.least()).min(room))?;
        let left = groups.all.iter().zip(&kept).find(|(_, kept)| **kept).map_or(0, |(group, _)| group.range.start);
        let kept = groups.pick(&fit.messages, &kept);
        let Some(last) = left.checked_sub(1).and_then(|last| fit.messages.get(last)) else {
            // What is left out lies within the turn, behind its question.
            return Ok(Arc::new(kept));
        };
        let last = Arc::clone(last);
        let from = known.as_ref().filter(|summary| summary.covered <= left);
        let text = self.ask(fit, from, left, allowed).await?;
        let message = Arc::new(ChatMessage::user(bounded(&text, fit.tokenizer.as_ref(), allowed)));
        let summary = Summary { covered: left, last, message: Arc::clone(&message) };
        self.remember(known.as_ref(), summary);
        Ok(Arc::new([message].into_iter().chain(kept).collect()))
    }

    fn remember(&self, old: Option<&Summary>, new: Summary) {
        let mut summaries = self.summaries.lock();
        summaries.retain(|kept| old.is_none_or(|old| !Arc::ptr_eq(&kept.last, &old.last)));
        while summaries.len() >= SUMMARIES_MAX {
            summaries.pop_front();
        }
        summaries.push_back(new);
    }

    /// Asks the model for a summary of the first `left` messages; an earlier one stands for those it covers.
    async fn ask(&self, fit: &Fit, from: Option<&Summary>, left: usize, tokens: u64) -> Result<String> {
        let skipped = from.map_or(0, |summary| summary.covered);
        let said = fit.messages.iter().take(left).skip(skipped);
        let mut lines: Vec<String> = from.map(|summary| &summary.message).into_iter().chain(said).map(line).collect();
        let mut bytes = 0_usize;
        let beyond = lines.iter().rposition(|line| {
            bytes = bytes.saturating_add(line.len());
            bytes > TRANSCRIPT_MAX_BYTES
        });
        if let Some(beyond) = beyond {
            lines.drain(..=beyond);
            lines.insert(0, format!("({} earlier messages are left out)", beyond + 1));
        }
        let request = ModelRequest {
            messages: vec![
                Arc::new(ChatMessage::system(INSTRUCTIONS)),
                Arc::new(ChatMessage::user(lines.join("\n\n"))),
            ],
            options: GenerateOptions { max_tokens: u32::try_from(tokens).ok(), ..GenerateOptions::default() },
            ..ModelRequest::default()
        };
        let answer = self.model.generate(Arc::new(request), fit.context.clone()).await?;
        let text = answer.message.text();
        if text.trim().is_empty() {
            return Err(Error::new(Code::Decode, "the model that summarises said nothing").with_op("context.fit"));
        }
        Ok(text)
    }
}

/// Cuts a summary to its tokens, its heading included.
fn bounded(text: &str, tokenizer: &dyn Tokenizer, tokens: u64) -> String {
    let tokens = tokens.saturating_sub(beluga_core::MESSAGE_TOKENS);
    let mut text = format!("{HEADING}{}", text.trim());
    while tokenizer.count(&text) > tokens && !text.is_empty() {
        // A tenth at a time: a token has more than one byte, but how many is not known.
        let cut = text.floor_char_boundary(text.len() - text.len().div_ceil(10));
        text.truncate(cut);
    }
    text
}

/// Writes a message down for the model that summarises.
fn line(message: &Arc<ChatMessage>) -> String {
    let mut line = format!("{}:", message.role);
    for part in &message.parts {
        // Writing to a text cannot fail.
        let _ = match part {
            Part::Text { text, .. } | Part::Refusal { text, .. } => write!(line, " {text}"),
            Part::ToolCall(call) => write!(line, " (calls {} with {})", call.name, call.arguments),
            Part::ToolResult(result) => write!(line, " ({} answered: {})", result.name, result.text()),
            Part::Image(_) | Part::Audio(_) | Part::Video(_) | Part::File(_) => write!(line, " (shows a medium)"),
            _ => Ok(()),
        };
    }
    line.truncate(line.floor_char_boundary(SHOWN_MAX_BYTES));
    line
}

impl ContextManager for Summarise {
    fn name(&self) -> &'static str {
        "summarise"
    }

    fn fit(&self, request: Fit) -> BoxFuture<'_, Result<Messages>> {
        Box::pin(async move { if request.fits() { Ok(request.messages) } else { self.shorten(&request).await } })
    }
}
