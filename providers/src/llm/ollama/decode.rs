//! Answers of Ollama's chat, streamed and whole: a whole answer is a stream of one line.

use std::collections::VecDeque;

use beluga_core::{
    AnswerNotes, Error, FinishReason, Media, ModelChunk, Part, PartNotes, Result, Thinking, ToolCall, Usage,
};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::super::answer::Decode;
use super::super::compact::compact;
use super::super::fault::{self, VendorError};
use super::super::json::{Text, filled};
use super::super::profile::Profile;
use super::super::wire::{Kept, wire};
use crate::http::SseEvent;

/// The most tool calls of one answer.
const CALLS_MAX: usize = 256;

/// The fields that count something, in the last line.
const COUNTERS: [&str; 6] =
    ["total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration"];

wire! {
    struct WireLine<'a> {
        model: Text<'a> = "model",
        created_at: Text<'a> = "created_at",
        message: WireMessage<'a> = "message",
        done: bool = "done",
        done_reason: Text<'a> = "done_reason",
        error: Text<'a> = "error",
    }
}

wire! {
    struct WireMessage<'a> {
        role: Text<'a> = "role",
        content: Text<'a> = "content",
        thinking: Text<'a> = "thinking",
        images: Vec<Text<'a>> = "images",
        tool_calls: Vec<WireCall<'a>> = "tool_calls",
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
        index: i64 = "index",
        name: Text<'a> = "name",
        arguments: &'a RawValue = "arguments",
    }
}

/// Decodes one answer.
#[derive(Debug)]
pub(super) struct OllamaDecoder {
    family: &'static str,
    seed: u64,
    has_started: bool,
    /// Thinking that has not ended.
    thinking: String,
    calls: Vec<ToolCall>,
    created_at: Option<String>,
    of_message: Kept,
    extra: Kept,
}

impl OllamaDecoder {
    pub(super) fn new(profile: &Profile, seed: u64) -> Self {
        Self {
            family: profile.name,
            seed,
            has_started: false,
            thinking: String::new(),
            calls: Vec::new(),
            created_at: None,
            of_message: Kept::default(),
            extra: Kept::default(),
        }
    }

    fn take(&mut self, text: &str, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let line: WireLine<'_> = serde_json::from_str(text).map_err(|error| fault::garbage(&error))?;
        if line.error.is_some() {
            return Err(VendorError::parse(text.as_bytes()).into_stream_error());
        }
        if !std::mem::replace(&mut self.has_started, true) {
            let model = filled(line.model.as_ref()).map(str::to_owned);
            out.push_back(ModelChunk::Started { id: None, model });
            self.created_at = filled(line.created_at.as_ref()).map(str::to_owned);
        }
        if let Some(message) = &line.message {
            self.said(message, out)?;
        }
        self.extra.take(&line.rest, &[]);
        if line.done == Some(true) {
            self.finish(filled(line.done_reason.as_ref()), out);
        }
        Ok(())
    }

    fn said(&mut self, message: &WireMessage<'_>, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        if let Some(text) = filled(message.thinking.as_ref()) {
            self.thinking.push_str(text);
            out.push_back(ModelChunk::ThinkingDelta { text: text.to_owned() });
        }
        if let Some(text) = filled(message.content.as_ref()) {
            self.end_thinking(out);
            out.push_back(ModelChunk::Text { text: text.to_owned() });
        }
        for image in message.images.iter().flatten() {
            self.end_thinking(out);
            out.push_back(ModelChunk::Whole { part: Part::Image(Media::base64("", image.0.as_ref())) });
        }
        for call in message.tool_calls.iter().flatten() {
            self.end_thinking(out);
            self.call(call, out)?;
        }
        self.of_message.take(&message.rest, &[]);
        Ok(())
    }

    fn call(&mut self, wire: &WireCall<'_>, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let at = self.calls.len();
        if at >= CALLS_MAX {
            return Err(Error::provider_unavailable(format!("the answer has more than {CALLS_MAX} tool calls")));
        }
        let function = wire.function.as_ref();
        let Some(name) = function.and_then(|function| filled(function.name.as_ref())) else {
            return Err(fault::nonsense("a tool call without a name"));
        };
        // An object by the book; a text where a model wrote it as one.
        let arguments = match function.and_then(|function| function.arguments) {
            None => "{}".to_owned(),
            Some(raw) => match serde_json::from_str::<Text<'_>>(raw.get()) {
                Ok(text) => text.0.into_owned(),
                Err(_) => compact(raw.get()),
            },
        };
        let id = filled(wire.id.as_ref()).map_or_else(|| format!("call_{:016x}_{at}", self.seed), str::to_owned);
        let mut notes = PartNotes::of(self.family);
        notes.extra = wire.rest.to_extra();
        if let Some(function) = function.filter(|function| !function.rest.is_empty()) {
            notes.extra.insert("function".to_owned(), Value::Object(function.rest.to_extra()));
        }
        let index = u32::try_from(at).unwrap_or(u32::MAX);
        out.push_back(ModelChunk::ToolCallDelta { index, name: Some(name.to_owned()), arguments: arguments.clone() });
        self.calls.push(ToolCall { notes: notes.boxed(), ..ToolCall::new(id, name, arguments) });
        Ok(())
    }

    fn end_thinking(&mut self, out: &mut VecDeque<ModelChunk>) {
        if !self.thinking.is_empty() {
            let text = std::mem::take(&mut self.thinking);
            out.push_back(ModelChunk::Thinking(Thinking::new(text, self.family)));
        }
    }

    fn finish(&mut self, word: Option<&str>, out: &mut VecDeque<ModelChunk>) {
        self.end_thinking(out);
        let mut extra = self.extra.finish();
        let mut counted = Map::new();
        for name in COUNTERS {
            counted.extend(extra.shift_remove(name).map(|value| (name.to_owned(), value)));
        }
        let count = |name: &str| counted.get(name).and_then(Value::as_u64).unwrap_or_default();
        if !counted.is_empty() {
            let (input_tokens, output_tokens) = (count("prompt_eval_count"), count("eval_count"));
            out.push_back(ModelChunk::Usage(Usage { input_tokens, output_tokens, ..Usage::default() }));
        }
        let reason = match word {
            Some("length") => FinishReason::Length,
            _ if !self.calls.is_empty() => FinishReason::ToolCalls,
            Some("stop") | None => FinishReason::Stop,
            Some(other) => FinishReason::Other(other.to_owned()),
        };
        out.extend(self.calls.drain(..).map(ModelChunk::ToolCall));
        let of_message = self.of_message.finish();
        if !of_message.is_empty() {
            extra.insert("message".to_owned(), Value::Object(of_message));
        }
        extra.extend(self.created_at.take().map(|time| ("created_at".to_owned(), Value::from(time))));
        let (finish_word, family) = (word.map(str::to_owned), self.family.to_owned());
        let notes = AnswerNotes { finish_word, family, extra, ..AnswerNotes::default() };
        out.push_back(ModelChunk::AnswerNotes(Box::new(notes)));
        let raw_usage = (!counted.is_empty()).then_some(Value::Object(counted));
        out.push_back(ModelChunk::Finished { reason, raw_usage });
    }
}

impl Decode for OllamaDecoder {
    fn event(&mut self, event: &SseEvent<'_>, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        self.take(&event.data, out)
    }

    fn whole(&mut self, body: &[u8], out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let text = std::str::from_utf8(body).map_err(|_| fault::nonsense("the body is not UTF-8"))?;
        self.take(text, out)
    }

    fn end(&mut self, _out: &mut VecDeque<ModelChunk>) -> Result<()> {
        Err(fault::half())
    }
}
