//! A whole answer, and how one is put together from its chunks.

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::BoxStream;
use crate::chunk::{FinishReason, ModelChunk};
use crate::content::{ChatMessage, Part, Role};
use crate::error::{Error, Result};
use crate::notes::AnswerNotes;
use crate::usage::Usage;

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelAnswer {
    /// The assistant's message, with model and usage.
    pub message: ChatMessage,
    /// Why it ended.
    pub finish: FinishReason,
    /// The vendor's id of the answer.
    pub id: Option<String>,
    /// Tokens, all zero where the vendor tells none.
    pub usage: Usage,
    /// The vendor's raw usage object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_usage: Option<Value>,
    /// What else the vendor tells of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<Box<AnswerNotes>>,
    /// The other answers, where several were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<ModelAnswer>,
}

impl ModelAnswer {
    /// Makes an answer of a text that cost nothing: what an error hook gives instead of an error.
    ///
    /// ```
    /// use beluga_core::{ModelAnswer, ModelChunk};
    ///
    /// let chunks: Vec<ModelChunk> = ModelAnswer::text("Ask again later.").into_chunks().collect();
    /// assert!(matches!(&chunks[0], ModelChunk::Text { text } if text == "Ask again later."));
    /// assert!(matches!(chunks.last(), Some(ModelChunk::Finished { .. })));
    /// ```
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            message: ChatMessage::assistant(text),
            finish: FinishReason::Stop,
            id: None,
            usage: Usage::default(),
            raw_usage: None,
            notes: None,
            alternatives: Vec::new(),
        }
    }

    /// Takes the answer apart into the chunks a stream of it has, `Finished` last.
    pub fn into_chunks(self) -> impl Iterator<Item = ModelChunk> + Send {
        let Self { message, finish, id, usage, raw_usage, notes, alternatives } = self;
        let opening =
            (id.is_some() || message.model.is_some()).then_some(ModelChunk::Started { id, model: message.model });
        opening
            .into_iter()
            .chain(message.parts.into_iter().flat_map(chunks_of).flatten())
            .chain(alternatives.into_iter().map(|answer| ModelChunk::Alternative { answer: Box::new(answer) }))
            .chain([ModelChunk::Usage(usage)])
            .chain(notes.map(ModelChunk::AnswerNotes))
            .chain([ModelChunk::Finished { reason: finish, raw_usage }])
    }

    /// Collects a stream into an answer.
    ///
    /// # Errors
    /// The stream's error; `provider_unavailable` if it ended without `Finished`.
    pub async fn collect(mut stream: BoxStream<'static, Result<ModelChunk>>) -> Result<Self> {
        let mut draft = AnswerDraft::default();
        while let Some(chunk) = stream.next().await {
            draft.push(chunk?);
        }
        draft.finish()
    }
}

/// Builds a [`ModelAnswer`] chunk by chunk; whoever also forwards the chunks keeps one.
#[derive(Debug, Default)]
pub struct AnswerDraft {
    parts: Vec<Part>,
    id: Option<String>,
    model: Option<String>,
    usage: Usage,
    finish: Option<FinishReason>,
    raw_usage: Option<Value>,
    notes: Option<Box<AnswerNotes>>,
    alternatives: Vec<ModelAnswer>,
}

impl AnswerDraft {
    /// Adds one chunk. Neighbouring text becomes one part, unless notes stand between.
    pub fn push(&mut self, chunk: ModelChunk) {
        match chunk {
            ModelChunk::Started { id, model } => {
                self.id = id;
                self.model = model;
            }
            ModelChunk::Text { text } => match self.parts.last_mut() {
                Some(Part::Text { text: have, notes: None }) => have.push_str(&text),
                _ => self.add(Part::text(text)),
            },
            ModelChunk::Refusal { text } => match self.parts.last_mut() {
                Some(Part::Refusal { text: have, notes: None }) => have.push_str(&text),
                _ => self.add(Part::Refusal { text, notes: None }),
            },
            ModelChunk::PartNotes(noted) => match self.parts.last_mut() {
                Some(Part::Text { notes: notes @ None, .. } | Part::Refusal { notes: notes @ None, .. }) => {
                    *notes = Some(noted);
                }
                // A signature may stand on a text that is empty.
                _ => self.add(Part::Text { text: String::new(), notes: Some(noted) }),
            },
            ModelChunk::Whole { part } => self.add(part),
            ModelChunk::Alternative { answer } => self.alternatives.push(*answer),
            ModelChunk::AnswerNotes(notes) => self.notes = Some(notes),
            ModelChunk::Thinking(thinking) => self.add(Part::Thinking(thinking)),
            ModelChunk::ToolCall(call) => self.add(Part::ToolCall(call)),
            ModelChunk::Usage(usage) => self.usage = usage,
            ModelChunk::Finished { reason, raw_usage } => {
                self.finish = Some(reason);
                self.raw_usage = raw_usage;
            }
            ModelChunk::ThinkingDelta { .. } | ModelChunk::ToolCallDelta { .. } => {}
        }
    }

    /// Most answers are one part; a list grows to four at once.
    fn add(&mut self, part: Part) {
        if self.parts.is_empty() {
            self.parts.reserve_exact(1);
        }
        self.parts.push(part);
    }

    /// Returns the text so far, for a partial result.
    #[must_use]
    pub fn text(&self) -> String {
        self.parts.iter().filter_map(Part::as_text).collect()
    }

    /// Ends the answer.
    ///
    /// # Errors
    /// `provider_unavailable` if no `Finished` was seen: the stream broke.
    pub fn finish(self) -> Result<ModelAnswer> {
        let Some(finish) = self.finish else {
            return Err(Error::provider_unavailable("the answer ended before it was finished"));
        };
        let mut parts = self.parts;
        for part in &mut parts {
            // Empty notes only held two texts apart.
            if let Part::Text { notes, .. } | Part::Refusal { notes, .. } = part
                && notes.as_ref().is_some_and(|notes| notes.is_empty())
            {
                *notes = None;
            }
        }
        let mut message = ChatMessage::new(Role::Assistant, parts);
        message.model = self.model;
        message.usage = Some(self.usage);
        Ok(ModelAnswer {
            message,
            finish,
            id: self.id,
            usage: self.usage,
            raw_usage: self.raw_usage,
            notes: self.notes,
            alternatives: self.alternatives,
        })
    }
}

/// The chunks of one part.
fn chunks_of(part: Part) -> [Option<ModelChunk>; 2] {
    match part {
        Part::Text { text, notes } => [Some(ModelChunk::Text { text }), notes.map(ModelChunk::PartNotes)],
        Part::Refusal { text, notes } => [Some(ModelChunk::Refusal { text }), notes.map(ModelChunk::PartNotes)],
        Part::Thinking(thinking) => [Some(ModelChunk::Thinking(thinking)), None],
        Part::ToolCall(call) => [Some(ModelChunk::ToolCall(call)), None],
        part => [Some(ModelChunk::Whole { part }), None],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt, stream};

    fn collect(chunks: Vec<ModelChunk>) -> Result<ModelAnswer> {
        let stream = stream::iter(chunks.into_iter().map(Ok)).boxed();
        ModelAnswer::collect(stream).now_or_never().unwrap()
    }

    #[test]
    fn neighbouring_text_becomes_one_part() {
        let text = |text: &str| ModelChunk::Text { text: text.into() };
        let end = ModelChunk::Finished { reason: FinishReason::Stop, raw_usage: None };
        let answer = collect(vec![text("a"), text("b"), end]).unwrap();
        assert_eq!(answer.message.parts, vec![Part::text("ab")]);
    }

    #[test]
    fn an_answer_is_the_same_after_it_was_taken_apart() {
        let mut noted = crate::PartNotes::of("google");
        noted.signature = Some("c2ln".into());
        let mut answer = ModelAnswer::text("one");
        answer.message.usage = Some(Usage::default());
        answer.message.parts.extend([
            Part::Text { text: String::new(), notes: noted.boxed() },
            Part::text("two"),
            Part::Refusal { text: "no".into(), notes: None },
            Part::Image(crate::Media::base64("image/png", "AAAA")),
        ]);
        answer.notes = Some(Box::new(AnswerNotes { created: Some(1), ..AnswerNotes::default() }));
        answer.alternatives.push(ModelAnswer::text("other"));
        // A text and an empty, signed one behind it are one text with a signature: that much is lost on the way.
        let again = collect(answer.clone().into_chunks().collect()).unwrap();
        let Part::Text { text, notes } = &again.message.parts[0] else { panic!("{again:?}") };
        assert_eq!((text.as_str(), notes.as_ref().unwrap().signature.as_deref()), ("one", Some("c2ln")));
        assert_eq!(again.message.parts[1..], answer.message.parts[2..]);
        assert_eq!((again.notes, again.alternatives), (answer.notes, answer.alternatives));
    }

    #[test]
    fn a_stream_without_an_end_is_a_broken_provider() {
        let error = collect(vec![ModelChunk::Text { text: "half".into() }]).unwrap_err();
        assert_eq!(error.code(), crate::Code::ProviderUnavailable);
    }
}
