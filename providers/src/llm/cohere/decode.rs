//! Answers of Cohere's chat, streamed and whole.

use std::collections::VecDeque;

use beluga_core::{
    AnswerNotes, Citation, Error, FinishReason, Foreign, ModelChunk, Part, PartNotes, Result, Thinking, ToolCall, Usage,
};
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::answer::Decode;
use super::super::fault::{self, VendorError};
use super::super::json::{Text, filled, raw_value, take_count, take_text};
use super::super::profile::Profile;
use super::super::wire::{Kept, raw_json, wire};
use super::PLAN;
use crate::http::SseEvent;

/// The data of the event after the last one.
const DONE: &str = "[DONE]";

/// The most tool calls, and the most citations, of one answer.
const PIECES_MAX: usize = 1024;

wire! {
    struct WireEvent<'a> {
        kind: Text<'a> = "type",
        index: i64 = "index",
        id: Text<'a> = "id",
        delta: WireDelta<'a> = "delta",
        message: Text<'a> = "message",
        logprobs: &'a RawValue = "logprobs",
    }
}

wire! {
    struct WireDelta<'a> {
        message: WirePiece<'a> = "message",
        finish_reason: Text<'a> = "finish_reason",
        usage: &'a RawValue = "usage",
        error: Text<'a> = "error",
        logprobs: &'a RawValue = "logprobs",
    }
}

wire! {
    /// A piece of a message; its fields hold lists at the start, and one of what a list has later.
    struct WirePiece<'a> {
        role: Text<'a> = "role",
        content: &'a RawValue = "content",
        tool_plan: Text<'a> = "tool_plan",
        tool_calls: &'a RawValue = "tool_calls",
        citations: &'a RawValue = "citations",
    }
}

wire! {
    struct WireAnswer<'a> {
        id: Text<'a> = "id",
        finish_reason: Text<'a> = "finish_reason",
        message: WireMessage<'a> = "message",
        usage: &'a RawValue = "usage",
    }
}

wire! {
    struct WireMessage<'a> {
        role: Text<'a> = "role",
        content: Vec<&'a RawValue> = "content",
        tool_plan: Text<'a> = "tool_plan",
        tool_calls: Vec<WireCall<'a>> = "tool_calls",
        citations: Vec<&'a RawValue> = "citations",
    }
}

wire! {
    struct WireContent<'a> {
        kind: Text<'a> = "type",
        text: Text<'a> = "text",
        thinking: Text<'a> = "thinking",
    }
}

wire! {
    struct WireCall<'a> {
        id: Text<'a> = "id",
        kind: Text<'a> = "type",
        function: WireFunction<'a> = "function",
    }
}

wire! {
    struct WireFunction<'a> {
        name: Text<'a> = "name",
        arguments: Text<'a> = "arguments",
    }
}

wire! {
    struct WireUsage<'a> {
        tokens: WireTokens<'a> = "tokens",
        billed: WireTokens<'a> = "billed_units",
        cached: f64 = "cached_tokens",
    }
}

wire! {
    /// Numbers are written with a point by some versions.
    struct WireTokens<'a> {
        input: f64 = "input_tokens",
        output: f64 = "output_tokens",
    }
}

/// Decodes one answer.
#[derive(Debug)]
pub(super) struct CohereDecoder {
    family: &'static str,
    seed: u64,
    /// Thinking that has not ended, and whether it is a plan.
    thinking: Option<(String, bool)>,
    citations: Vec<Citation>,
    call: Option<ToolCall>,
    calls: usize,
    /// Log probabilities, piece by piece.
    logprobs: Vec<Value>,
    of_message: Kept,
    extra: Kept,
    raw_usage: Option<String>,
}

impl CohereDecoder {
    pub(super) fn new(profile: &Profile, seed: u64) -> Self {
        Self {
            family: profile.name,
            seed,
            thinking: None,
            citations: Vec::new(),
            call: None,
            calls: 0,
            logprobs: Vec::new(),
            of_message: Kept::default(),
            extra: Kept::default(),
            raw_usage: None,
        }
    }

    fn started(id: Option<&Text<'_>>, out: &mut VecDeque<ModelChunk>) {
        out.push_back(ModelChunk::Started { id: filled(id).map(str::to_owned), model: None });
    }

    fn think(&mut self, text: Option<&str>, is_plan: bool, out: &mut VecDeque<ModelChunk>) {
        let Some(text) = text else { return };
        if self.thinking.as_ref().is_some_and(|(_, was_plan)| *was_plan != is_plan) {
            self.end_thinking(out);
        }
        self.thinking.get_or_insert_with(|| (String::new(), is_plan)).0.push_str(text);
        out.push_back(ModelChunk::ThinkingDelta { text: text.to_owned() });
    }

    fn end_thinking(&mut self, out: &mut VecDeque<ModelChunk>) {
        if let Some((text, is_plan)) = self.thinking.take() {
            let mut thinking = Thinking::new(text, self.family);
            if is_plan {
                thinking.notes = PartNotes { word: Some(PLAN.to_owned()), ..PartNotes::of(self.family) }.boxed();
            }
            out.push_back(ModelChunk::Thinking(thinking));
        }
    }

    /// Takes a piece of content, or the whole of it.
    fn content(&mut self, raw: &RawValue, out: &mut VecDeque<ModelChunk>) {
        let Ok(content) = serde_json::from_str::<WireContent<'_>>(raw.get()) else { return };
        let kind = filled(content.kind.as_ref());
        if !matches!(kind, None | Some("text" | "thinking")) {
            self.end_thinking(out);
            let Value::Object(mut fields) = raw_json(raw) else { return };
            fields.shift_remove("type");
            let kind = kind.unwrap_or_default().to_owned();
            let foreign = Foreign { family: self.family.to_owned(), kind, value: fields.into(), notes: None };
            out.push_back(ModelChunk::Whole { part: Part::Foreign(foreign) });
            return;
        }
        self.think(filled(content.thinking.as_ref()), false, out);
        if let Some(text) = filled(content.text.as_ref()) {
            self.end_thinking(out);
            out.push_back(ModelChunk::Text { text: text.to_owned() });
        }
        self.of_message.take(&content.rest, &[]);
    }

    fn cite(&mut self, raw: &RawValue) -> Result<()> {
        if self.citations.len() >= PIECES_MAX {
            return Err(Error::provider_unavailable(format!("the answer has more than {PIECES_MAX} citations")));
        }
        self.citations.push(citation(raw_json(raw)));
        Ok(())
    }

    /// Notes whence the text that was said comes.
    fn end_text(&mut self, out: &mut VecDeque<ModelChunk>) {
        let citations = std::mem::take(&mut self.citations);
        out.extend(PartNotes { citations, ..PartNotes::of(self.family) }.boxed().map(ModelChunk::PartNotes));
    }

    fn begin_call(&mut self, wire: &WireCall<'_>, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        self.end_call(out)?;
        self.end_thinking(out);
        self.end_text(out);
        let at = self.calls;
        if at >= PIECES_MAX {
            return Err(Error::provider_unavailable(format!("the answer has more than {PIECES_MAX} tool calls")));
        }
        self.calls += 1;
        let (mut name, mut arguments) = (String::new(), String::new());
        if let Some(function) = &wire.function {
            name.push_str(filled(function.name.as_ref()).unwrap_or_default());
            arguments.push_str(filled(function.arguments.as_ref()).unwrap_or_default());
        }
        let id = filled(wire.id.as_ref()).map_or_else(|| format!("call_{:016x}_{at}", self.seed), str::to_owned);
        out.push_back(self.call_delta(Some(name.clone()), arguments.clone()));
        let notes = PartNotes { extra: wire.rest.to_extra(), ..PartNotes::of(self.family) }.boxed();
        self.call = Some(ToolCall { notes, ..ToolCall::new(id, name, arguments) });
        Ok(())
    }

    fn grow_call(&mut self, wire: &WireCall<'_>, out: &mut VecDeque<ModelChunk>) {
        let piece = wire.function.as_ref().and_then(|function| filled(function.arguments.as_ref()));
        if let (Some(call), Some(piece)) = (&mut self.call, piece) {
            call.arguments.push_str(piece);
            out.push_back(self.call_delta(None, piece.to_owned()));
        }
    }

    fn call_delta(&self, name: Option<String>, arguments: String) -> ModelChunk {
        let index = u32::try_from(self.calls.saturating_sub(1)).unwrap_or(u32::MAX);
        ModelChunk::ToolCallDelta { index, name, arguments }
    }

    fn end_call(&mut self, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let Some(mut call) = self.call.take() else { return Ok(()) };
        if call.name.is_empty() {
            return Err(fault::nonsense("a tool call without a name"));
        }
        if call.arguments.is_empty() {
            call.arguments.push_str("{}");
        }
        out.push_back(ModelChunk::ToolCall(call));
        Ok(())
    }

    fn usage(&mut self, raw: &RawValue, out: &mut VecDeque<ModelChunk>) {
        let Ok(usage) = serde_json::from_str::<WireUsage<'_>>(raw.get()) else { return };
        let counted = usage.tokens.or(usage.billed);
        out.push_back(ModelChunk::Usage(Usage {
            input_tokens: whole(counted.as_ref().and_then(|tokens| tokens.input)),
            output_tokens: whole(counted.as_ref().and_then(|tokens| tokens.output)),
            cached_tokens: whole(usage.cached),
            ..Usage::default()
        }));
        self.raw_usage = Some(raw.get().to_owned());
    }

    fn finish(&mut self, word: Option<&str>, usage: Option<&RawValue>, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let Some(word) = word else { return Err(fault::half()) };
        let reason = match word {
            "COMPLETE" | "STOP_SEQUENCE" => FinishReason::Stop,
            "MAX_TOKENS" => FinishReason::Length,
            "TOOL_CALL" => FinishReason::ToolCalls,
            "ERROR" => return Err(Error::provider_unavailable("the vendor failed in the middle of the answer")),
            other => FinishReason::Other(other.to_owned()),
        };
        self.end_thinking(out);
        self.end_text(out);
        self.end_call(out)?;
        if let Some(usage) = usage {
            self.usage(usage, out);
        }
        let mut extra = self.extra.finish();
        let logprobs = std::mem::take(&mut self.logprobs);
        if !logprobs.is_empty() {
            extra.insert("logprobs".to_owned(), Value::Array(logprobs));
        }
        let of_message = self.of_message.finish();
        if !of_message.is_empty() {
            extra.insert("message".to_owned(), Value::Object(of_message));
        }
        let (finish_word, family) = (Some(word.to_owned()), self.family.to_owned());
        let notes = AnswerNotes { finish_word, family, extra, ..AnswerNotes::default() };
        out.push_back(ModelChunk::AnswerNotes(Box::new(notes)));
        let raw_usage = self.raw_usage.take().as_deref().and_then(raw_value);
        out.push_back(ModelChunk::Finished { reason, raw_usage });
        Ok(())
    }

    /// Takes what a piece says, by the sort of event it came in.
    fn piece(&mut self, kind: &str, piece: &WirePiece<'_>, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        self.of_message.take(&piece.rest, &[]);
        let call = || piece.tool_calls.and_then(|raw| serde_json::from_str::<WireCall<'_>>(raw.get()).ok());
        match kind {
            "content-start" | "content-delta" => {
                if let Some(raw) = piece.content {
                    self.content(raw, out);
                }
            }
            "tool-plan-delta" => self.think(filled(piece.tool_plan.as_ref()), true, out),
            "tool-call-start" => {
                if let Some(call) = call() {
                    self.begin_call(&call, out)?;
                }
            }
            "tool-call-delta" => {
                if let Some(call) = call() {
                    self.grow_call(&call, out);
                }
            }
            "citation-start" => {
                if let Some(raw) = piece.citations {
                    self.cite(raw)?;
                }
            }
            // Empty lists at the start, and events of later versions.
            _ => {}
        }
        Ok(())
    }
}

impl Decode for CohereDecoder {
    fn event(&mut self, event: &SseEvent<'_>, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let data = event.data.trim();
        if data.is_empty() || data == DONE {
            return Ok(());
        }
        let wire: WireEvent<'_> = serde_json::from_str(data).map_err(|error| fault::garbage(&error))?;
        let kind = filled(wire.kind.as_ref()).unwrap_or_else(|| event.event.as_ref());
        if wire.delta.is_none() && wire.message.is_some() {
            return Err(VendorError::parse(data.as_bytes()).into_stream_error());
        }
        self.extra.take(&wire.rest, &[]);
        let logprobs = wire.logprobs.or(wire.delta.as_ref().and_then(|delta| delta.logprobs));
        self.logprobs.extend(logprobs.map(raw_json));
        if kind == "message-start" {
            Self::started(wire.id.as_ref(), out);
        }
        let Some(delta) = &wire.delta else {
            return if kind == "tool-call-end" { self.end_call(out) } else { Ok(()) };
        };
        if let Some(error) = filled(delta.error.as_ref()) {
            return Err(VendorError::parse(error.as_bytes()).into_stream_error());
        }
        self.extra.take(&delta.rest, &[]);
        if let Some(piece) = &delta.message {
            self.piece(kind, piece, out)?;
        }
        if kind == "message-end" {
            return self.finish(filled(delta.finish_reason.as_ref()), delta.usage, out);
        }
        Ok(())
    }

    fn whole(&mut self, body: &[u8], out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let text = std::str::from_utf8(body).map_err(|_| fault::nonsense("the body is not UTF-8"))?;
        let answer: WireAnswer<'_> = serde_json::from_str(text).map_err(|error| fault::garbage(&error))?;
        let Some(message) = &answer.message else { return Err(fault::nonsense("an answer without a message")) };
        Self::started(answer.id.as_ref(), out);
        self.think(filled(message.tool_plan.as_ref()), true, out);
        for raw in message.content.iter().flatten() {
            self.content(raw, out);
        }
        for raw in message.citations.iter().flatten() {
            self.cite(raw)?;
        }
        for call in message.tool_calls.iter().flatten() {
            self.begin_call(call, out)?;
        }
        self.of_message.take(&message.rest, &[]);
        self.extra.take(&answer.rest, &[]);
        self.finish(filled(answer.finish_reason.as_ref()), answer.usage, out)
    }

    fn end(&mut self, _out: &mut VecDeque<ModelChunk>) -> Result<()> {
        Err(fault::half())
    }
}

/// Reads a number of tokens; no answer fails for its price.
fn whole(count: Option<f64>) -> u64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
    count.filter(|count| (0.0..9.0e15).contains(count)).map_or(0, |count| count as u64)
}

/// Reads a source of a statement; what has no field stays.
fn citation(value: Value) -> Citation {
    let Value::Object(mut fields) = value else { return Citation::default() };
    Citation {
        kind: take_text(&mut fields, "type").unwrap_or_default(),
        text: take_text(&mut fields, "text"),
        start: take_count(&mut fields, "start"),
        end: take_count(&mut fields, "end"),
        extra: fields,
        ..Citation::default()
    }
}
