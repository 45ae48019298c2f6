//! Answers of the Messages dialect, streamed and whole.

use std::collections::VecDeque;

use beluga_core::{AnswerNotes, Error, FinishReason, ModelChunk, Result, ToolCall, Usage};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::super::answer::Decode;
use super::super::fault::{self, VendorError};
use super::super::json::{Text, filled, raw_value};
use super::super::profile::Profile;
use super::super::wire::Kept;
use super::block::{Block, Ended};
use super::body::{WireBlock, WireEvent, WireMessage, WireUsage};
use crate::http::SseEvent;

/// The most content blocks of one answer.
const BLOCKS_MAX: usize = 1024;

/// Decodes one answer.
#[derive(Debug)]
pub(super) struct MessagesDecoder {
    family: &'static str,
    seed: u64,
    has_started: bool,
    /// Blocks that have begun and not ended.
    open: Vec<(i64, Block)>,
    blocks: usize,
    calls: u32,
    /// Whether a text block has ended that the next one would run into.
    text_before: bool,
    /// Calls whose arguments are no JSON: cut, empty or malformed, as the finish reason will tell.
    doubtful: Vec<ToolCall>,
    cut_calls: Vec<ToolCall>,
    usage: WireUsage,
    raw_usage: Map<String, Value>,
    reason: Option<String>,
    kept: Kept,
}

impl MessagesDecoder {
    pub(super) fn new(profile: &Profile, seed: u64) -> Self {
        Self {
            family: profile.name,
            seed,
            has_started: false,
            open: Vec::new(),
            blocks: 0,
            calls: 0,
            text_before: false,
            doubtful: Vec::new(),
            cut_calls: Vec::new(),
            usage: WireUsage::default(),
            raw_usage: Map::new(),
            reason: None,
            kept: Kept::default(),
        }
    }

    fn start(&mut self, message: &WireMessage<'_>, out: &mut VecDeque<ModelChunk>) {
        let owned = |text: &Option<Text<'_>>| filled(text.as_ref()).map(str::to_owned);
        self.has_started = true;
        self.kept.take(&message.rest, &[]);
        out.push_back(ModelChunk::Started { id: owned(&message.id), model: owned(&message.model) });
    }

    fn begin(&mut self, index: i64, raw: &RawValue, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        self.blocks += 1;
        if self.blocks > BLOCKS_MAX {
            return Err(Error::provider_unavailable(format!("the answer has more than {BLOCKS_MAX} blocks")));
        }
        let border = out.len();
        let block = Block::begin(raw, self.family, &mut self.calls, self.seed, out)?;
        if self.text_before && matches!(block, Block::Text { .. }) {
            // What is cited in one block is not cited in its neighbour.
            out.insert(border, ModelChunk::PartNotes(Box::default()));
        }
        self.text_before = false;
        self.open.push((index, block));
        Ok(())
    }

    fn close(&mut self, index: i64, out: &mut VecDeque<ModelChunk>) {
        let Some(at) = self.open.iter().rposition(|(have, _)| *have == index) else { return };
        let (_, block) = self.open.remove(at);
        let has_text = !matches!(block, Block::Text { is_empty: true, .. });
        match block.end(self.family, out) {
            Ended::Done => {}
            Ended::Doubtful(call) => self.doubtful.push(call),
            Ended::Open => self.text_before = has_text,
        }
    }

    fn count(&mut self, raw: &str, out: &mut VecDeque<ModelChunk>) {
        if let Some(Value::Object(fields)) = raw_value(raw) {
            self.raw_usage.extend(fields.into_iter().filter(|(_, value)| !value.is_null()));
        }
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
    }

    fn finish(&mut self, word: String, out: &mut VecDeque<ModelChunk>) {
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
        out.push_back(ModelChunk::AnswerNotes(Box::new(AnswerNotes {
            created: None,
            finish_word: Some(word),
            cut_calls: std::mem::take(&mut self.cut_calls),
            family: self.family.to_owned(),
            extra: self.kept.finish(),
        })));
        let raw = std::mem::take(&mut self.raw_usage);
        let raw_usage = (!raw.is_empty()).then_some(Value::Object(raw));
        out.push_back(ModelChunk::Finished { reason, raw_usage });
    }

    /// Sets a call aside that the limit cut: of a whole answer its input is a whole object all the same.
    fn cut(&mut self, raw: &RawValue) -> Result<()> {
        let mut unseen = VecDeque::new();
        let block = Block::begin(raw, self.family, &mut self.calls, self.seed, &mut unseen)?;
        match block.end(self.family, &mut unseen) {
            Ended::Doubtful(call) => self.cut_calls.push(call),
            Ended::Done | Ended::Open => self.cut_calls.extend(unseen.into_iter().filter_map(|chunk| match chunk {
                ModelChunk::ToolCall(call) => Some(call),
                _ => None,
            })),
        }
        Ok(())
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
                // Some gateways put what was said before into the start.
                for raw in message.content.iter().flatten() {
                    self.begin(-1, raw, out)?;
                    self.close(-1, out);
                }
            }
            "content_block_start" => {
                let Some(block) = wire.content_block else { return Err(fault::nonsense("a start without a block")) };
                self.begin(index, block, out)?;
            }
            "content_block_delta" => {
                let open = self.open.iter_mut().rev().find(|(have, _)| *have == index);
                if let (Some(delta), Some((_, block))) = (&wire.delta, open) {
                    block.grow(delta, out);
                }
            }
            "content_block_stop" => self.close(index, out),
            "message_delta" => {
                if let Some(delta) = &wire.delta {
                    let reason = filled(delta.stop_reason.as_ref()).map(str::to_owned);
                    self.reason = reason.or(self.reason.take());
                    self.kept.take(&delta.rest, &[]);
                }
                self.kept.take(&wire.rest, &[]);
                if let Some(usage) = wire.usage {
                    self.count(usage.get(), out);
                }
            }
            "message_stop" => {
                self.kept.take(&wire.rest, &[]);
                return self.end(out);
            }
            "error" => {
                let error = wire.error.map_or(data, RawValue::get);
                return Err(VendorError::parse(error.as_bytes()).into_stream_error());
            }
            "ping" => {}
            // Events of later versions: a client must let them pass, and keeps what they say.
            kind => self.kept.put(kind, data),
        }
        Ok(())
    }

    fn whole(&mut self, body: &[u8], out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let text = std::str::from_utf8(body).map_err(|_| fault::nonsense("the body is not UTF-8"))?;
        let message: WireMessage<'_> = serde_json::from_str(text).map_err(|error| fault::garbage(&error))?;
        if let Some(error) = message.error {
            return Err(VendorError::parse(error.get().as_bytes()).into_stream_error());
        }
        let (Some(content), Some(word)) = (&message.content, filled(message.stop_reason.as_ref())) else {
            return Err(fault::nonsense("a message without content or reason"));
        };
        self.start(&message, out);
        let last = content.len().saturating_sub(1);
        for (at, raw) in content.iter().enumerate() {
            if at == last && stop_reason(word) == FinishReason::Length && is_call(raw) {
                self.cut(raw)?;
                continue;
            }
            self.begin(0, raw, out)?;
            self.close(0, out);
        }
        if let Some(usage) = message.usage {
            self.count(usage.get(), out);
        }
        self.finish(word.to_owned(), out);
        Ok(())
    }

    fn end(&mut self, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        match self.reason.take() {
            Some(word) if self.has_started => {
                self.finish(word, out);
                Ok(())
            }
            _ => Err(fault::half()),
        }
    }
}

fn is_call(raw: &RawValue) -> bool {
    let block: Result<WireBlock<'_>, _> = serde_json::from_str(raw.get());
    block.is_ok_and(|block| filled(block.kind.as_ref()) == Some("tool_use"))
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
