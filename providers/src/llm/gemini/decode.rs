//! Answers of generateContent, streamed and whole.

use std::collections::VecDeque;

use beluga_core::{
    AnswerDraft, AnswerNotes, Error, Extra, FinishReason, ModelChunk, Part, PartNotes, Result, Thinking, ToolCall,
    Usage,
};
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::answer::Decode;
use super::super::compact::compact;
use super::super::fault::{self, VendorError};
use super::super::json::{Text, filled};
use super::super::profile::Profile;
use super::super::wire::{Kept, raw_json, wire};
use super::{made_up_id, parts};
use crate::http::SseEvent;

/// The most answers to one request.
const CANDIDATES_MAX: usize = 16;

/// The most calls of tools of one answer.
const CALLS_MAX: usize = 256;

wire! {
    struct WireDocument<'a> {
        candidates: Vec<WireCandidate<'a>> = "candidates",
        feedback: &'a RawValue = "promptFeedback",
        usage: &'a RawValue = "usageMetadata",
        model: Text<'a> = "modelVersion",
        id: Text<'a> = "responseId",
        error: &'a RawValue = "error",
    }
}

wire! {
    struct WireCandidate<'a> {
        index: u32 = "index",
        content: WireContent<'a> = "content",
        reason: Text<'a> = "finishReason",
    }
}

wire! {
    struct WireContent<'a> {
        role: Text<'a> = "role",
        parts: Vec<WirePart<'a>> = "parts",
    }
}

wire! {
    struct WirePart<'a> {
        text: Text<'a> = "text",
        thought: bool = "thought",
        signature: Text<'a> = "thoughtSignature",
        call: WireCall<'a> = "functionCall",
        blob: &'a RawValue = "inlineData",
        file: &'a RawValue = "fileData",
    }
}

wire! {
    struct WireCall<'a> {
        id: Text<'a> = "id",
        name: Text<'a> = "name",
        args: &'a RawValue = "args",
    }
}

wire! {
    struct WireUsage<'a> {
        prompt: u64 = "promptTokenCount",
        answer: u64 = "candidatesTokenCount",
        cached: u64 = "cachedContentTokenCount",
        thoughts: u64 = "thoughtsTokenCount",
        tools: u64 = "toolUsePromptTokenCount",
    }
}

/// Decodes one answer. Each event of a stream is a whole document with the next parts; only the end of the body ends it,
/// for a reason to finish may come in the middle.
#[derive(Debug)]
pub(super) struct GeminiDecoder {
    family: &'static str,
    seed: u64,
    has_started: bool,
    /// By index; the first is the answer.
    candidates: Vec<Candidate>,
    calls: usize,
    /// Why the prompt was refused.
    block: Option<String>,
    extra: Kept,
    /// Tokens of prompt, answer, cache, thoughts and tools.
    counters: [Option<u64>; 5],
    /// The counts as they came, back to the last one that left nothing out.
    raw_usage: Vec<String>,
}

/// What is not yet said of one candidate.
#[derive(Debug, Default)]
struct Candidate {
    index: u32,
    thinking: String,
    reason: Option<String>,
    has_calls: bool,
    extra: Kept,
    /// Collects what is not the first candidate's.
    draft: AnswerDraft,
}

impl GeminiDecoder {
    pub(super) fn new(profile: &Profile, seed: u64) -> Self {
        Self {
            family: profile.name,
            seed,
            has_started: false,
            candidates: Vec::new(),
            calls: 0,
            block: None,
            extra: Kept::default(),
            counters: [None; 5],
            raw_usage: Vec::new(),
        }
    }

    fn take(&mut self, text: &str, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let document: WireDocument<'_> = serde_json::from_str(text).map_err(|error| fault::garbage(&error))?;
        if document.error.is_some() {
            return Err(VendorError::parse(text.as_bytes()).into_stream_error());
        }
        if !self.has_started {
            self.has_started = true;
            let owned = |text: &Option<Text<'_>>| filled(text.as_ref()).map(str::to_owned);
            out.push_back(ModelChunk::Started { id: owned(&document.id), model: owned(&document.model) });
        }
        for candidate in document.candidates.into_iter().flatten() {
            self.candidate(candidate, out)?;
        }
        if let Some(feedback) = document.feedback {
            let reason = raw_json(feedback).get("blockReason").and_then(Value::as_str).map(str::to_owned);
            self.block = reason.or(self.block.take());
            self.extra.put("promptFeedback", feedback.get());
        }
        self.extra.take(&document.rest, &[]);
        if let Some(usage) = document.usage {
            self.usage(usage.get(), out);
        }
        Ok(())
    }

    fn candidate(&mut self, candidate: WireCandidate<'_>, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let index = candidate.index.unwrap_or(0);
        let at = match self.candidates.iter().position(|have| have.index == index) {
            Some(at) => at,
            None if self.candidates.len() >= CANDIDATES_MAX => {
                return Err(Error::provider_unavailable(format!("more than {CANDIDATES_MAX} answers came")));
            }
            None => {
                self.candidates.push(Candidate { index, ..Candidate::default() });
                self.candidates.len() - 1
            }
        };
        let Some(mut have) = self.candidates.get_mut(at).map(std::mem::take) else { return Ok(()) };
        have.index = index;
        let mut said = VecDeque::new();
        let result = candidate
            .content
            .and_then(|content| content.parts)
            .into_iter()
            .flatten()
            .try_for_each(|part| self.part(part, &mut have, if index == 0 { &mut *out } else { &mut said }));
        said.into_iter().for_each(|chunk| have.draft.push(chunk));
        if let Some(reason) = filled(candidate.reason.as_ref()) {
            have.reason = Some(reason.to_owned());
        }
        have.extra.take(&candidate.rest, &[]);
        if let Some(place) = self.candidates.get_mut(at) {
            *place = have;
        }
        result
    }

    fn part(&mut self, part: WirePart<'_>, have: &mut Candidate, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let signature = filled(part.signature.as_ref()).map(str::to_owned);
        let notes = |extra: Extra| PartNotes { signature: signature.clone(), extra, ..PartNotes::of(self.family) };
        let is_thought = part.thought == Some(true);
        if is_thought && part.text.is_some() {
            if let Some(text) = filled(part.text.as_ref()) {
                have.thinking.push_str(text);
                out.push_back(ModelChunk::ThinkingDelta { text: text.to_owned() });
            }
            if signature.is_some() || !part.rest.is_empty() {
                let notes = PartNotes { extra: part.rest.to_extra(), ..PartNotes::of(self.family) };
                let text = std::mem::take(&mut have.thinking);
                let thinking = Thinking { signature, notes: notes.boxed(), ..Thinking::new(text, self.family) };
                out.push_back(ModelChunk::Thinking(thinking));
            }
            return Ok(());
        }
        if let Some(text) = &part.text {
            let text = text.0.as_ref();
            let notes = notes(part.rest.to_extra());
            if text.is_empty() && notes.is_empty() {
                return Ok(());
            }
            have.end_thinking(self.family, out);
            if text.is_empty() {
                // A signature behind the text stays a part of its own.
                let part = Part::Text { text: String::new(), notes: notes.boxed() };
                out.push_back(ModelChunk::Whole { part });
            } else {
                out.push_back(ModelChunk::Text { text: text.to_owned() });
                out.extend(notes.boxed().map(ModelChunk::PartNotes));
            }
            return Ok(());
        }
        have.end_thinking(self.family, out);
        let mut extra = part.rest.to_extra();
        if is_thought {
            extra.insert("thought".to_owned(), Value::Bool(true));
        }
        if let Some(call) = part.call {
            have.has_calls = true;
            parts::nest(&mut extra, "functionCall", call.rest.to_extra());
            let (id, name) = (filled(call.id.as_ref()), filled(call.name.as_ref()).unwrap_or_default());
            let arguments = call.args.map_or_else(|| "{}".to_owned(), |args| compact(args.get()));
            return self.call(id, name, arguments, notes(extra), out);
        }
        let part = match (part.blob, part.file) {
            (Some(blob), _) => parts::media(raw_json(blob), "inlineData", notes(extra)),
            (None, Some(file)) => parts::media(raw_json(file), "fileData", notes(extra)),
            (None, None) => parts::other(self.family, notes(extra)),
        };
        out.extend(part.map(|part| ModelChunk::Whole { part }));
        Ok(())
    }

    fn call(
        &mut self,
        id: Option<&str>,
        name: &str,
        arguments: String,
        notes: PartNotes,
        out: &mut VecDeque<ModelChunk>,
    ) -> Result<()> {
        if name.is_empty() {
            return Err(fault::nonsense("a tool call without a name"));
        }
        let at = self.calls;
        self.calls += 1;
        if at >= CALLS_MAX {
            return Err(Error::provider_unavailable(format!("the answer has more than {CALLS_MAX} tool calls")));
        }
        let id = id.map_or_else(|| made_up_id(self.seed, at), str::to_owned);
        let index = u32::try_from(at).unwrap_or(u32::MAX);
        out.push_back(ModelChunk::ToolCallDelta { index, name: Some(name.to_owned()), arguments: arguments.clone() });
        out.push_back(ModelChunk::ToolCall(ToolCall { notes: notes.boxed(), ..ToolCall::new(id, name, arguments) }));
        Ok(())
    }

    /// Each document counts anew. The last count is right; what it leaves out stays as it was.
    fn usage(&mut self, raw: &str, out: &mut VecDeque<ModelChunk>) {
        if self.raw_usage.last().is_some_and(|last| last == raw) {
            return;
        }
        let Ok(new) = serde_json::from_str::<WireUsage<'_>>(raw) else { return };
        let have = &mut self.counters;
        let counts = [new.prompt, new.answer, new.cached, new.thoughts, new.tools];
        if have.iter().zip(&counts).all(|(have, new)| have.is_none() || new.is_some()) {
            self.raw_usage.clear();
        }
        self.raw_usage.push(raw.to_owned());
        have.iter_mut().zip(counts).for_each(|(have, new)| *have = new.or(*have));
        let [prompt, answer, cached, thoughts, tools] = have.map(Option::unwrap_or_default);
        out.push_back(ModelChunk::Usage(Usage {
            input_tokens: prompt.saturating_add(tools),
            output_tokens: answer.saturating_add(thoughts),
            cached_tokens: cached,
            cache_write_tokens: 0,
            reasoning_tokens: thoughts,
        }));
    }

    fn end_usage(&mut self) -> Option<Value> {
        let mut fields = Extra::new();
        for raw in std::mem::take(&mut self.raw_usage) {
            fields.extend(serde_json::from_str::<Extra>(&raw).unwrap_or_default());
        }
        (!fields.is_empty()).then_some(Value::Object(fields))
    }

    fn finish(&mut self, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let mut extra = self.extra.finish();
        let mut answer = None;
        for mut candidate in std::mem::take(&mut self.candidates) {
            if candidate.index == 0 {
                candidate.end_thinking(self.family, out);
                answer = Some(candidate);
            } else {
                out.extend(candidate.into_alternative(self.family));
            }
        }
        let mut answer = answer.unwrap_or_default();
        let (reason, word) = match (answer.reason.take(), self.block.take()) {
            (Some(word), _) => (finish_reason(&word, answer.has_calls), word),
            // The prompt was refused, for whatever reason.
            (None, Some(word)) => (FinishReason::ContentFilter, word),
            (None, None) => return Err(fault::half()),
        };
        extra.extend(answer.extra.finish());
        let notes =
            AnswerNotes { finish_word: Some(word), family: self.family.to_owned(), extra, ..AnswerNotes::default() };
        out.push_back(ModelChunk::AnswerNotes(Box::new(notes)));
        let raw_usage = self.end_usage();
        out.push_back(ModelChunk::Finished { reason, raw_usage });
        Ok(())
    }
}

impl Candidate {
    fn end_thinking(&mut self, family: &str, out: &mut VecDeque<ModelChunk>) {
        if !self.thinking.is_empty() {
            out.push_back(ModelChunk::Thinking(Thinking::new(std::mem::take(&mut self.thinking), family)));
        }
    }

    /// Ends another answer; none if it says nothing at all.
    fn into_alternative(mut self, family: &str) -> Option<ModelChunk> {
        let mut said = VecDeque::new();
        self.end_thinking(family, &mut said);
        let word = self.reason.take();
        let reason = finish_reason(word.as_deref().unwrap_or_default(), self.has_calls);
        let notes = AnswerNotes {
            finish_word: word,
            family: family.to_owned(),
            extra: self.extra.finish(),
            ..AnswerNotes::default()
        };
        said.push_back(ModelChunk::AnswerNotes(Box::new(notes)));
        said.push_back(ModelChunk::Finished { reason, raw_usage: None });
        said.into_iter().for_each(|chunk| self.draft.push(chunk));
        let answer = self.draft.finish().ok()?;
        Some(ModelChunk::Alternative { answer: Box::new(answer) })
    }
}

impl Decode for GeminiDecoder {
    fn event(&mut self, event: &SseEvent<'_>, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        match event.data.trim() {
            "" => Ok(()),
            data => self.take(data, out),
        }
    }

    fn whole(&mut self, body: &[u8], out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let text = std::str::from_utf8(body).map_err(|_| fault::nonsense("the body is not UTF-8"))?;
        if text.trim_start().starts_with('[') {
            // What a stream is without `alt=sse`.
            let documents: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| fault::garbage(&error))?;
            documents.into_iter().try_for_each(|document| self.take(document.get(), out))?;
        } else {
            self.take(text, out)?;
        }
        self.finish(out)
    }

    fn end(&mut self, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        self.finish(out)
    }
}

/// Translates the vendor's word.
fn finish_reason(word: &str, has_calls: bool) -> FinishReason {
    match word {
        "STOP" if has_calls => FinishReason::ToolCalls,
        "STOP" => FinishReason::Stop,
        "MAX_TOKENS" => FinishReason::Length,
        "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "MODEL_ARMOR"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION" => FinishReason::ContentFilter,
        other => FinishReason::Other(other.to_owned()),
    }
}
