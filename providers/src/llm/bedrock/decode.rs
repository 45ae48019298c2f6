//! Answers of Converse, streamed and whole.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use beluga_core::{
    AnswerNotes, Citation, Error, Extra, FinishReason, Foreign, ModelChunk, Part, PartNotes, Result, Thinking,
    ToolCall, Usage,
};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::super::answer::Decode;
use super::super::compact::compact;
use super::super::fault;
use super::super::json::{Text, filled, raw_value};
use super::super::profile::Profile;
use super::super::wire::{Kept, raw_json, raw_text, wire};
use crate::http::SseEvent;

/// The most content blocks of one answer.
const BLOCKS_MAX: usize = 1024;

/// The padding of events.
const PADDING: &str = "p";

wire! {
    struct WireEvent<'a> {
        index: i64 = "contentBlockIndex",
        role: Text<'a> = "role",
        start: WireBlock<'a> = "start",
        delta: WireBlock<'a> = "delta",
        reason: Text<'a> = "stopReason",
        usage: &'a RawValue = "usage",
        output: WireOutput<'a> = "output",
    }
}

wire! {
    struct WireOutput<'a> {
        message: WireMessage<'a> = "message",
    }
}

wire! {
    struct WireMessage<'a> {
        role: Text<'a> = "role",
        content: Vec<WireBlock<'a>> = "content",
    }
}

wire! {
    /// A whole block, its start, or a piece of it.
    struct WireBlock<'a> {
        text: Text<'a> = "text",
        reasoning: WireReasoning<'a> = "reasoningContent",
        tool_use: WireToolUse<'a> = "toolUse",
        citation: &'a RawValue = "citation",
    }
}

wire! {
    struct WireReasoning<'a> {
        whole: WireReasoningText<'a> = "reasoningText",
        text: Text<'a> = "text",
        signature: Text<'a> = "signature",
        redacted: Text<'a> = "redactedContent",
    }
}

wire! {
    struct WireReasoningText<'a> {
        text: Text<'a> = "text",
        signature: Text<'a> = "signature",
    }
}

wire! {
    struct WireToolUse<'a> {
        id: Text<'a> = "toolUseId",
        name: Text<'a> = "name",
        kind: Text<'a> = "type",
        input: &'a RawValue = "input",
    }
}

wire! {
    struct WireUsage<'a> {
        input: u64 = "inputTokens",
        output: u64 = "outputTokens",
        cache_read: u64 = "cacheReadInputTokens",
        cache_write: u64 = "cacheWriteInputTokens",
    }
}

/// Decodes one answer.
#[derive(Debug)]
pub(super) struct ConverseDecoder {
    family: &'static str,
    seed: u64,
    has_started: bool,
    /// Blocks that have begun and not ended.
    open: Vec<(i64, Block)>,
    blocks: usize,
    calls: u32,
    /// Calls whose arguments are no JSON: cut, empty or malformed, as the reason to stop will tell.
    doubtful: Vec<ToolCall>,
    /// Calls the limit cut; they must not run.
    cut_calls: Vec<ToolCall>,
    reason: Option<String>,
    extra: Kept,
    raw_usage: Option<String>,
}

#[derive(Debug)]
enum Block {
    Text {
        citations: Vec<Citation>,
    },
    Thinking {
        text: String,
        signature: String,
    },
    Redacted {
        data: String,
    },
    Call {
        index: u32,
        id: String,
        name: String,
        arguments: String,
        extra: Extra,
    },
    /// A call of a tool that runs at the vendor.
    OwnCall {
        fields: Map<String, Value>,
        input: String,
    },
    /// Something of the vendor's own.
    Foreign {
        kind: String,
        value: Value,
    },
}

impl ConverseDecoder {
    pub(super) fn new(profile: &Profile, seed: u64) -> Self {
        Self {
            family: profile.name,
            seed,
            has_started: false,
            open: Vec::new(),
            blocks: 0,
            calls: 0,
            doubtful: Vec::new(),
            cut_calls: Vec::new(),
            reason: None,
            extra: Kept::default(),
            raw_usage: None,
        }
    }

    fn start(&mut self, out: &mut VecDeque<ModelChunk>) {
        if !std::mem::replace(&mut self.has_started, true) {
            // The answer has neither an id nor a model of its own.
            out.push_back(ModelChunk::Started { id: None, model: None });
        }
    }

    /// Begins a block, as its start or its first piece tells its sort.
    fn begin(&mut self, wire: &WireBlock<'_>, out: &mut VecDeque<ModelChunk>) -> Result<Block> {
        self.blocks += 1;
        if self.blocks > BLOCKS_MAX {
            return Err(Error::provider_unavailable(format!("the answer has more than {BLOCKS_MAX} blocks")));
        }
        if let Some(call) = &wire.tool_use {
            return self.begin_call(call, out);
        }
        if let Some(reasoning) = &wire.reasoning {
            return Ok(match &reasoning.redacted {
                Some(_) => Block::Redacted { data: String::new() },
                None => Block::Thinking { text: String::new(), signature: String::new() },
            });
        }
        if wire.text.is_some() || wire.citation.is_some() {
            return Ok(Block::Text { citations: Vec::new() });
        }
        Ok(match wire.rest.iter().next() {
            None => Block::Foreign { kind: String::new(), value: Value::Null },
            Some((kind, raw)) => match raw_json(raw) {
                // Text with its sources, as a stream tells in two sorts of pieces.
                Value::Object(cited) if kind == "citationsContent" => Self::cited(cited, out),
                value => Block::Foreign { kind: kind.to_owned(), value },
            },
        })
    }

    fn begin_call(&mut self, call: &WireToolUse<'_>, out: &mut VecDeque<ModelChunk>) -> Result<Block> {
        let (name, id) = (filled(call.name.as_ref()).unwrap_or_default(), filled(call.id.as_ref()).unwrap_or_default());
        let kind = filled(call.kind.as_ref()).unwrap_or("tool_use");
        if kind != "tool_use" {
            let mut fields = call.rest.to_extra();
            for (key, text) in [("toolUseId", id), ("name", name), ("type", kind)] {
                fields.insert(key.to_owned(), Value::from(text));
            }
            return Ok(Block::OwnCall { fields, input: String::new() });
        }
        if name.is_empty() {
            return Err(fault::nonsense("a tool call without a name"));
        }
        let index = self.calls;
        self.calls += 1;
        let id = if id.is_empty() { format!("call_{:016x}_{index}", self.seed) } else { id.to_owned() };
        out.push_back(ModelChunk::ToolCallDelta { index, name: Some(name.to_owned()), arguments: String::new() });
        Ok(Block::Call { index, id, name: name.to_owned(), arguments: String::new(), extra: call.rest.to_extra() })
    }

    fn cited(mut cited: Map<String, Value>, out: &mut VecDeque<ModelChunk>) -> Block {
        let list = |value: Option<Value>| match value {
            Some(Value::Array(list)) => list,
            _ => Vec::new(),
        };
        for piece in list(cited.shift_remove("content")) {
            push_text(piece.get("text").and_then(Value::as_str), out);
        }
        Block::Text { citations: list(cited.shift_remove("citations")).into_iter().map(citation).collect() }
    }

    fn grow(&mut self, index: i64, wire: &WireBlock<'_>, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        if !self.open.iter().any(|(have, _)| *have == index) {
            let block = self.begin(wire, out)?;
            let is_foreign = matches!(block, Block::Foreign { .. });
            self.open.push((index, block));
            if is_foreign {
                return Ok(());
            }
        }
        let Some((_, block)) = self.open.iter_mut().rev().find(|(have, _)| *have == index) else { return Ok(()) };
        match block {
            Block::Text { citations } => {
                push_text(filled(wire.text.as_ref()), out);
                citations.extend(wire.citation.map(|raw| citation(raw_json(raw))));
            }
            Block::Thinking { text, signature } => {
                let Some(piece) = &wire.reasoning else { return Ok(()) };
                let whole = piece.whole.as_ref();
                let said = filled(piece.text.as_ref()).or_else(|| filled(whole.and_then(|whole| whole.text.as_ref())));
                let signed = filled(piece.signature.as_ref())
                    .or_else(|| filled(whole.and_then(|whole| whole.signature.as_ref())));
                if let Some(said) = said {
                    text.push_str(said);
                    out.push_back(ModelChunk::ThinkingDelta { text: said.to_owned() });
                }
                signature.push_str(signed.unwrap_or_default());
            }
            Block::Redacted { data } => {
                let piece = wire.reasoning.as_ref().and_then(|reasoning| filled(reasoning.redacted.as_ref()));
                *data = joined(data, piece.unwrap_or_default());
            }
            Block::Call { index, arguments, .. } => {
                let piece = wire.tool_use.as_ref().and_then(|call| call.input).map(input).unwrap_or_default();
                if !piece.is_empty() {
                    arguments.push_str(&piece);
                    out.push_back(ModelChunk::ToolCallDelta { index: *index, name: None, arguments: piece });
                }
            }
            Block::OwnCall { input: have, .. } => {
                let piece = wire.tool_use.as_ref().and_then(|call| call.input).map(input);
                have.push_str(&piece.unwrap_or_default());
            }
            Block::Foreign { kind, value } => {
                for (key, raw) in wire.rest.iter().filter(|(key, _)| *key == kind.as_str()) {
                    extend(value, key, raw_json(raw));
                }
            }
        }
        Ok(())
    }

    fn close(&mut self, index: i64, out: &mut VecDeque<ModelChunk>) {
        let Some(at) = self.open.iter().rposition(|(have, _)| *have == index) else { return };
        let (_, block) = self.open.remove(at);
        self.end_block(block, out);
    }

    fn end_block(&mut self, block: Block, out: &mut VecDeque<ModelChunk>) {
        let family = self.family;
        let whole = |kind: &str, value: Value| {
            let foreign = Foreign { family: family.to_owned(), kind: kind.to_owned(), value, notes: None };
            ModelChunk::Whole { part: Part::Foreign(foreign) }
        };
        match block {
            Block::Text { citations } => {
                let notes = PartNotes { citations, ..PartNotes::of(family) }.boxed();
                out.extend(notes.map(ModelChunk::PartNotes));
            }
            Block::Thinking { text, signature } => {
                if !(text.is_empty() && signature.is_empty()) {
                    let signature = (!signature.is_empty()).then_some(signature);
                    out.push_back(ModelChunk::Thinking(Thinking { signature, ..Thinking::new(text, family) }));
                }
            }
            Block::Redacted { data } => {
                let thinking = Thinking { signature: Some(data), redacted: true, ..Thinking::new("", family) };
                out.push_back(ModelChunk::Thinking(thinking));
            }
            Block::Call { id, name, arguments, extra, .. } => {
                let notes = PartNotes { extra, ..PartNotes::of(family) }.boxed();
                let call = ToolCall { notes, ..ToolCall::new(id, name, arguments) };
                if serde_json::from_str::<&RawValue>(&call.arguments).is_ok() {
                    out.push_back(ModelChunk::ToolCall(call));
                } else {
                    self.doubtful.push(call);
                }
            }
            Block::OwnCall { mut fields, input } => {
                let input = serde_json::from_str(&input).unwrap_or(Value::String(input));
                fields.insert("input".to_owned(), input);
                out.push_back(whole("toolUse", Value::Object(fields)));
            }
            Block::Foreign { kind, value } if !kind.is_empty() => out.push_back(whole(&kind, value)),
            Block::Foreign { .. } => {}
        }
    }

    fn usage(&mut self, raw: &str, out: &mut VecDeque<ModelChunk>) {
        let Ok(usage) = serde_json::from_str::<WireUsage<'_>>(raw) else { return };
        let cached_tokens = usage.cache_read.unwrap_or_default();
        let cache_write_tokens = usage.cache_write.unwrap_or_default();
        out.push_back(ModelChunk::Usage(Usage {
            input_tokens: usage
                .input
                .unwrap_or_default()
                .saturating_add(cached_tokens)
                .saturating_add(cache_write_tokens),
            output_tokens: usage.output.unwrap_or_default(),
            cached_tokens,
            cache_write_tokens,
            reasoning_tokens: 0,
        }));
        self.raw_usage = Some(raw.to_owned());
    }

    fn finish(&mut self, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let Some(word) = self.reason.take() else { return Err(fault::half()) };
        for (_, block) in std::mem::take(&mut self.open) {
            self.end_block(block, out);
        }
        let reason = stop_reason(&word);
        let may_be_cut = matches!(reason, FinishReason::Length | FinishReason::ContentFilter);
        for mut call in std::mem::take(&mut self.doubtful) {
            if may_be_cut {
                self.cut_calls.push(call);
                continue;
            }
            if call.arguments.is_empty() {
                call.arguments.push_str("{}");
            }
            out.push_back(ModelChunk::ToolCall(call));
        }
        let notes = AnswerNotes {
            finish_word: Some(word),
            cut_calls: std::mem::take(&mut self.cut_calls),
            family: self.family.to_owned(),
            extra: self.extra.finish(),
            ..AnswerNotes::default()
        };
        out.push_back(ModelChunk::AnswerNotes(Box::new(notes)));
        let raw_usage = self.raw_usage.take().as_deref().and_then(raw_value);
        out.push_back(ModelChunk::Finished { reason, raw_usage });
        Ok(())
    }
}

impl Decode for ConverseDecoder {
    fn event(&mut self, event: &SseEvent<'_>, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let data = event.data.trim();
        if data.is_empty() {
            return Ok(());
        }
        let wire: WireEvent<'_> = serde_json::from_str(data).map_err(|error| fault::garbage(&error))?;
        let index = wire.index.unwrap_or(0);
        self.start(out);
        match event.event.as_ref() {
            "contentBlockStart" => {
                let empty = WireBlock::default();
                let block = self.begin(wire.start.as_ref().unwrap_or(&empty), out)?;
                self.open.push((index, block));
            }
            "contentBlockDelta" => {
                if let Some(delta) = &wire.delta {
                    self.grow(index, delta, out)?;
                }
            }
            "contentBlockStop" => self.close(index, out),
            "messageStop" => {
                self.reason = filled(wire.reason.as_ref()).map(str::to_owned).or(self.reason.take());
                self.extra.take(&wire.rest, &[PADDING]);
            }
            "metadata" => {
                if let Some(usage) = wire.usage {
                    self.usage(usage.get(), out);
                }
                self.extra.take(&wire.rest, &[PADDING]);
                if self.reason.is_some() {
                    return self.finish(out);
                }
            }
            // The start of the message, and events of later versions.
            _ => {}
        }
        Ok(())
    }

    fn whole(&mut self, body: &[u8], out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let text = std::str::from_utf8(body).map_err(|_| fault::nonsense("the body is not UTF-8"))?;
        let wire: WireEvent<'_> = serde_json::from_str(text).map_err(|error| fault::garbage(&error))?;
        let content = wire.output.and_then(|output| output.message).and_then(|message| message.content);
        let (Some(content), Some(reason)) = (content, filled(wire.reason.as_ref())) else {
            return Err(fault::nonsense("an answer without content or reason"));
        };
        self.start(out);
        let is_cut = stop_reason(reason) == FinishReason::Length;
        let last = content.len().saturating_sub(1);
        for (at, block) in content.iter().enumerate() {
            let index = i64::try_from(at).unwrap_or(i64::MAX);
            // The input of a call the limit cut arrives as a whole object all the same.
            if is_cut && at == last && block.tool_use.is_some() {
                let mut unseen = VecDeque::new();
                self.grow(index, block, &mut unseen)?;
                self.close(index, &mut unseen);
                self.cut_calls.extend(unseen.into_iter().filter_map(|chunk| match chunk {
                    ModelChunk::ToolCall(call) => Some(call),
                    _ => None,
                }));
                continue;
            }
            self.grow(index, block, out)?;
            self.close(index, out);
        }
        if let Some(usage) = wire.usage {
            self.usage(usage.get(), out);
        }
        self.extra.take(&wire.rest, &[PADDING]);
        self.reason = Some(reason.to_owned());
        self.finish(out)
    }

    fn end(&mut self, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        self.finish(out)
    }
}

/// Returns a piece of a call's input: a stream has it as text, a whole answer as an object.
fn input(raw: &RawValue) -> String {
    if raw.get().starts_with('"') { raw_text(raw).into_owned() } else { compact(raw.get()) }
}

/// Puts base64 behind base64.
fn joined(have: &str, more: &str) -> String {
    match (have.is_empty(), STANDARD.decode(have), STANDARD.decode(more)) {
        (false, Ok(mut bytes), Ok(more)) => {
            bytes.extend(more);
            STANDARD.encode(bytes)
        }
        _ => format!("{have}{more}"),
    }
}

/// Adds a piece to something of the vendor's own: fields by their names, a list to its `content`, text behind text.
fn extend(value: &mut Value, key: &str, piece: Value) {
    match (value, piece) {
        (Value::Object(have), Value::Object(piece)) => have.extend(piece),
        (Value::Object(have), Value::Array(piece)) => {
            if let Value::Array(content) = have.entry("content").or_insert_with(|| Value::Array(Vec::new())) {
                content.extend(piece);
            }
        }
        (Value::Object(have), piece) => drop(have.insert(key.to_owned(), piece)),
        (Value::String(have), Value::String(piece)) => have.push_str(&piece),
        (Value::Array(have), Value::Array(piece)) => have.extend(piece),
        (value, piece) => *value = piece,
    }
}

/// Reads a source of a statement. What has no field stays, the place within the source too.
fn citation(value: Value) -> Citation {
    let Value::Object(mut extra) = value else { return Citation::default() };
    let title = match extra.shift_remove("title") {
        Some(Value::String(title)) => Some(title),
        _ => None,
    };
    let url = extra.get("location").and_then(|location| location.get("web")?.get("url")?.as_str()).map(str::to_owned);
    Citation { title, url, extra, ..Citation::default() }
}

fn push_text(text: Option<&str>, out: &mut VecDeque<ModelChunk>) {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        out.push_back(ModelChunk::Text { text: text.to_owned() });
    }
}

fn stop_reason(word: &str) -> FinishReason {
    match word {
        "end_turn" | "stop_sequence" => FinishReason::Stop,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "tool_use" => FinishReason::ToolCalls,
        "guardrail_intervened" | "content_filtered" => FinishReason::ContentFilter,
        other => FinishReason::Other(other.to_owned()),
    }
}
