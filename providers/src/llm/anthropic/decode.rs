//! Answers of the Messages dialect, streamed and whole.

use std::collections::VecDeque;

use beluga_core::{Error, FinishReason, ModelChunk, Result, Thinking, ToolCall, Usage};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::super::answer::Decode;
use super::super::fault::{self, VendorError};
use super::super::json::{Text, filled, raw_value};
use super::super::profile::Profile;
use crate::http::SseEvent;

/// The most content blocks of one answer.
const BLOCKS_MAX: usize = 1024;

/// Decodes one answer.
#[derive(Debug)]
pub(in super::super) struct MessagesDecoder {
    family: &'static str,
    seed: u64,
    has_started: bool,
    /// Blocks that have begun and not ended.
    open: Vec<(i64, Block)>,
    blocks: usize,
    calls: u32,
    /// Calls whose arguments are no JSON: cut, empty or malformed, as the finish reason will tell.
    doubtful: Vec<ToolCall>,
    usage: WireUsage,
    raw_usage: Map<String, Value>,
    reason: Option<FinishReason>,
}

#[derive(Debug)]
enum Block {
    Text,
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
        first: String,
        arguments: String,
    },
    /// Something of the vendor's own that has no place in the normal form.
    Foreign,
}

#[derive(Deserialize)]
struct WireEvent<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
    index: Option<i64>,
    #[serde(borrow)]
    message: Option<WireMessage<'a>>,
    #[serde(borrow)]
    content_block: Option<WireBlock<'a>>,
    #[serde(borrow)]
    delta: Option<WireDelta<'a>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireMessage<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    content: Option<Vec<WireBlock<'a>>>,
    #[serde(borrow)]
    stop_reason: Option<Text<'a>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireBlock<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    thinking: Option<Text<'a>>,
    #[serde(borrow)]
    signature: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<Text<'a>>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireDelta<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    thinking: Option<Text<'a>>,
    #[serde(borrow)]
    signature: Option<Text<'a>>,
    #[serde(borrow)]
    partial_json: Option<Text<'a>>,
    #[serde(borrow)]
    stop_reason: Option<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
struct WireUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens_details: Option<WireOutputDetails>,
}

#[derive(Debug, Default, Deserialize)]
struct WireOutputDetails {
    thinking_tokens: Option<u64>,
}

impl MessagesDecoder {
    pub(in super::super) fn new(profile: &Profile, seed: u64) -> Self {
        Self {
            family: profile.name,
            seed,
            has_started: false,
            open: Vec::new(),
            blocks: 0,
            calls: 0,
            doubtful: Vec::new(),
            usage: WireUsage::default(),
            raw_usage: Map::new(),
            reason: None,
        }
    }

    fn start(&mut self, message: &WireMessage<'_>, out: &mut VecDeque<ModelChunk>) {
        let owned = |text: &Option<Text<'_>>| filled(text.as_ref()).map(str::to_owned);
        self.has_started = true;
        out.push_back(ModelChunk::Started { id: owned(&message.id), model: owned(&message.model) });
    }

    fn begin(&mut self, index: i64, block: &WireBlock<'_>, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        self.blocks += 1;
        if self.blocks > BLOCKS_MAX {
            return Err(Error::provider_unavailable(format!("the answer has more than {BLOCKS_MAX} blocks")));
        }
        let text = |text: &Option<Text<'_>>| filled(text.as_ref()).unwrap_or_default().to_owned();
        let draft = match filled(block.kind.as_ref()).unwrap_or_default() {
            "text" => {
                push_text(filled(block.text.as_ref()), out);
                Block::Text
            }
            "thinking" => {
                push_thinking(filled(block.thinking.as_ref()), out);
                Block::Thinking { text: text(&block.thinking), signature: text(&block.signature) }
            }
            "redacted_thinking" => Block::Redacted { data: text(&block.data) },
            "tool_use" => {
                let (at, name) = (self.calls, text(&block.name));
                if name.is_empty() {
                    return Err(fault::nonsense("a tool call without a name"));
                }
                self.calls += 1;
                let id = match text(&block.id) {
                    id if id.is_empty() => format!("call_{:016x}_{at}", self.seed),
                    id => id,
                };
                out.push_back(ModelChunk::ToolCallDelta {
                    index: at,
                    name: Some(name.clone()),
                    arguments: String::new(),
                });
                let first = block.input.map(RawValue::get).unwrap_or_default().to_owned();
                Block::Call { index: at, id, name, first, arguments: String::new() }
            }
            _ => Block::Foreign,
        };
        self.open.push((index, draft));
        Ok(())
    }

    fn grow(&mut self, index: i64, delta: &WireDelta<'_>, out: &mut VecDeque<ModelChunk>) {
        let Some((_, block)) = self.open.iter_mut().rev().find(|(have, _)| *have == index) else { return };
        match block {
            Block::Text => push_text(filled(delta.text.as_ref()), out),
            Block::Thinking { text, signature } => {
                text.push_str(filled(delta.thinking.as_ref()).unwrap_or_default());
                signature.push_str(filled(delta.signature.as_ref()).unwrap_or_default());
                push_thinking(filled(delta.thinking.as_ref()), out);
            }
            Block::Call { index, arguments, .. } => {
                if let Some(piece) = filled(delta.partial_json.as_ref()) {
                    arguments.push_str(piece);
                    out.push_back(ModelChunk::ToolCallDelta { index: *index, name: None, arguments: piece.to_owned() });
                }
            }
            Block::Redacted { .. } | Block::Foreign => {}
        }
    }

    fn close(&mut self, index: i64, out: &mut VecDeque<ModelChunk>) {
        let Some(at) = self.open.iter().rposition(|(have, _)| *have == index) else { return };
        let (_, block) = self.open.remove(at);
        let family = self.family.to_owned();
        match block {
            Block::Thinking { text, signature } if !(text.is_empty() && signature.is_empty()) => {
                let signature = (!signature.is_empty()).then_some(signature);
                out.push_back(ModelChunk::Thinking(Thinking { text, family, signature, redacted: false }));
            }
            Block::Redacted { data } => {
                let thinking = Thinking { text: String::new(), family, signature: Some(data), redacted: true };
                out.push_back(ModelChunk::Thinking(thinking));
            }
            Block::Call { id, name, first, arguments, .. } => {
                // Compatible servers send the whole input at the start; Anthropic an empty object in its place.
                let arguments = if arguments.is_empty() && first != "{}" { first } else { arguments };
                let call = ToolCall { id, name, arguments };
                if serde_json::from_str::<&RawValue>(&call.arguments).is_ok() {
                    out.push_back(ModelChunk::ToolCall(call));
                } else {
                    self.doubtful.push(call);
                }
            }
            Block::Text | Block::Thinking { .. } | Block::Foreign => {}
        }
    }

    fn count(&mut self, raw: &str, out: &mut VecDeque<ModelChunk>) {
        let Ok(new) = serde_json::from_str::<WireUsage>(raw) else { return };
        // The counters are cumulative; the later object may leave some out.
        let have = &mut self.usage;
        have.input_tokens = new.input_tokens.or(have.input_tokens);
        have.output_tokens = new.output_tokens.or(have.output_tokens);
        have.cache_creation_input_tokens = new.cache_creation_input_tokens.or(have.cache_creation_input_tokens);
        have.cache_read_input_tokens = new.cache_read_input_tokens.or(have.cache_read_input_tokens);
        have.output_tokens_details = new.output_tokens_details.or(have.output_tokens_details.take());
        let cached_tokens = have.cache_read_input_tokens.unwrap_or_default();
        let cache_write_tokens = have.cache_creation_input_tokens.unwrap_or_default();
        let thinking = have.output_tokens_details.as_ref().and_then(|details| details.thinking_tokens);
        let fresh = have.input_tokens.unwrap_or_default();
        out.push_back(ModelChunk::Usage(Usage {
            input_tokens: fresh.saturating_add(cached_tokens).saturating_add(cache_write_tokens),
            output_tokens: have.output_tokens.unwrap_or_default(),
            cached_tokens,
            cache_write_tokens,
            reasoning_tokens: thinking.unwrap_or_default(),
        }));
        if let Some(Value::Object(fields)) = raw_value(raw) {
            self.raw_usage.extend(fields);
        }
    }

    fn finish(&mut self, reason: FinishReason, out: &mut VecDeque<ModelChunk>) {
        let may_be_cut = matches!(reason, FinishReason::Length | FinishReason::ContentFilter);
        for mut call in std::mem::take(&mut self.doubtful) {
            if may_be_cut {
                continue;
            }
            if call.arguments.is_empty() {
                call.arguments.push_str("{}");
            }
            out.push_back(ModelChunk::ToolCall(call));
        }
        let raw = std::mem::take(&mut self.raw_usage);
        let raw_usage = (!raw.is_empty()).then_some(Value::Object(raw));
        out.push_back(ModelChunk::Finished { reason, raw_usage });
    }
}

impl Decode for MessagesDecoder {
    fn event(&mut self, event: &SseEvent<'_>, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let data = event.data.trim();
        if data.is_empty() {
            return Ok(());
        }
        let wire: WireEvent<'_> = serde_json::from_str(data).map_err(|error| fault::garbage(&error))?;
        let index = wire.index.unwrap_or(0);
        match filled(wire.kind.as_ref()).unwrap_or_else(|| event.event.as_ref()) {
            "message_start" => {
                let Some(message) = &wire.message else { return Err(fault::nonsense("a start without a message")) };
                self.start(message, out);
                if let Some(usage) = message.usage {
                    self.count(usage.get(), out);
                }
            }
            "content_block_start" => {
                let Some(block) = &wire.content_block else { return Err(fault::nonsense("a start without a block")) };
                self.begin(index, block, out)?;
            }
            "content_block_delta" => {
                if let Some(delta) = &wire.delta {
                    self.grow(index, delta, out);
                }
            }
            "content_block_stop" => self.close(index, out),
            "message_delta" => {
                let reason = wire.delta.as_ref().and_then(|delta| filled(delta.stop_reason.as_ref()));
                self.reason = reason.map(stop_reason).or(self.reason.take());
                if let Some(usage) = wire.usage {
                    self.count(usage.get(), out);
                }
            }
            "message_stop" => return self.end(out),
            "error" => {
                let error = wire.error.map_or(data, RawValue::get);
                return Err(VendorError::parse(error.as_bytes()).into_stream_error());
            }
            // Pings, and events of later versions: a client must let them pass.
            _ => {}
        }
        Ok(())
    }

    fn whole(&mut self, body: &[u8], out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let text = std::str::from_utf8(body).map_err(|_| fault::nonsense("the body is not UTF-8"))?;
        let message: WireMessage<'_> = serde_json::from_str(text).map_err(|error| fault::garbage(&error))?;
        if let Some(error) = message.error {
            return Err(VendorError::parse(error.get().as_bytes()).into_stream_error());
        }
        let (Some(content), Some(reason)) = (&message.content, filled(message.stop_reason.as_ref())) else {
            return Err(fault::nonsense("a message without content or reason"));
        };
        self.start(&message, out);
        let reason = stop_reason(reason);
        let last = content.len().saturating_sub(1);
        for (at, block) in content.iter().enumerate() {
            // The input of a call the limit cut arrives as a whole object all the same.
            let is_call = filled(block.kind.as_ref()) == Some("tool_use");
            if at == last && is_call && reason == FinishReason::Length {
                continue;
            }
            self.begin(0, block, out)?;
            self.close(0, out);
        }
        if let Some(usage) = message.usage {
            self.count(usage.get(), out);
        }
        self.finish(reason, out);
        Ok(())
    }

    fn end(&mut self, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        match self.reason.take() {
            Some(reason) if self.has_started => {
                self.finish(reason, out);
                Ok(())
            }
            _ => Err(fault::half()),
        }
    }
}

fn push_text(text: Option<&str>, out: &mut VecDeque<ModelChunk>) {
    if let Some(text) = text {
        out.push_back(ModelChunk::Text { text: text.to_owned() });
    }
}

fn push_thinking(text: Option<&str>, out: &mut VecDeque<ModelChunk>) {
    if let Some(text) = text {
        out.push_back(ModelChunk::ThinkingDelta { text: text.to_owned() });
    }
}

fn stop_reason(text: &str) -> FinishReason {
    match text {
        "end_turn" | "stop_sequence" => FinishReason::Stop,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "tool_use" => FinishReason::ToolCalls,
        "refusal" => FinishReason::ContentFilter,
        other => FinishReason::Other(other.to_owned()),
    }
}
