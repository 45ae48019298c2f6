//! Answers of the chat completions dialect, streamed and whole.

use std::borrow::Cow;
use std::collections::VecDeque;

use beluga_core::{FinishReason, ModelChunk, Result, Thinking, Usage};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::answer::Decode;
use super::super::fault::{self, VendorError};
use super::super::json::{Text, filled, raw_value};
use super::super::profile::Profile;
use super::assembler::{Assembler, CallDelta};
use crate::http::SseEvent;

/// The data of the event that ends a stream.
const DONE: &str = "[DONE]";

/// Decodes one answer.
#[derive(Debug)]
pub(in super::super) struct ChatDecoder {
    family: &'static str,
    seed: u64,
    has_started: bool,
    /// Thinking whose block has not ended.
    thinking: String,
    calls: Assembler,
    reason: Option<FinishReason>,
    raw_usage: Option<String>,
}

#[derive(Deserialize)]
struct WireChunk<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    object: Option<Text<'a>>,
    #[serde(borrow)]
    choices: Option<Vec<WireChoice<'a>>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    x_groq: Option<WireGroq<'a>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireChoice<'a> {
    index: Option<i64>,
    #[serde(borrow)]
    delta: Option<WireDelta<'a>>,
    #[serde(borrow)]
    message: Option<WireDelta<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
}

#[derive(Deserialize, Default)]
struct WireDelta<'a> {
    #[serde(borrow)]
    content: Option<Text<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    #[serde(borrow)]
    reasoning_content: Option<Text<'a>>,
    #[serde(borrow)]
    reasoning: Option<Text<'a>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<WireCall<'a>>>,
}

#[derive(Deserialize)]
struct WireCall<'a> {
    index: Option<i64>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    function: Option<WireFunction<'a>>,
}

#[derive(Deserialize)]
struct WireFunction<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    /// Text by the book; some servers send the object itself.
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireGroq<'a> {
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireUsage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    prompt_tokens_details: Option<WireUsageDetails>,
    completion_tokens_details: Option<WireUsageDetails>,
    /// DeepSeek's own counter.
    prompt_cache_hit_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct WireUsageDetails {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
    reasoning_tokens: Option<u64>,
}

impl ChatDecoder {
    pub(in super::super) fn new(profile: &Profile, seed: u64) -> Self {
        Self {
            family: profile.name,
            seed,
            has_started: false,
            thinking: String::new(),
            calls: Assembler::default(),
            reason: None,
            raw_usage: None,
        }
    }

    /// Takes a chunk of a stream, or a whole answer: they differ in one field's name.
    fn take(&mut self, text: &str, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let chunk: WireChunk<'_> = serde_json::from_str(text).map_err(|error| fault::garbage(&error))?;
        let is_error = filled(chunk.object.as_ref()) == Some("error");
        if let Some(error) = chunk.error.map(RawValue::get).or(is_error.then_some(text)) {
            return Err(VendorError::parse(error.as_bytes()).into_stream_error());
        }
        // Azure's first chunk holds a verdict on the prompt and neither id nor model.
        let has_begun = chunk.choices.as_ref().is_some_and(|choices| !choices.is_empty());
        if !self.has_started && (has_begun || filled(chunk.id.as_ref()).is_some()) {
            self.has_started = true;
            let owned = |text: &Option<Text<'_>>| filled(text.as_ref()).map(str::to_owned);
            out.push_back(ModelChunk::Started { id: owned(&chunk.id), model: owned(&chunk.model) });
        }
        for choice in chunk.choices.into_iter().flatten() {
            if choice.index.unwrap_or(0) == 0 {
                self.choice(&choice, out)?;
            }
        }
        if let Some(usage) = chunk.usage.or(chunk.x_groq.and_then(|groq| groq.usage)) {
            self.usage(usage.get(), out);
        }
        Ok(())
    }

    fn choice(&mut self, choice: &WireChoice<'_>, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        if let Some(delta) = choice.delta.as_ref().or(choice.message.as_ref()) {
            let thinking = filled(delta.reasoning_content.as_ref()).or_else(|| filled(delta.reasoning.as_ref()));
            if let Some(text) = thinking {
                self.thinking.push_str(text);
                out.push_back(ModelChunk::ThinkingDelta { text: text.to_owned() });
            }
            for text in [filled(delta.content.as_ref()), filled(delta.refusal.as_ref())].into_iter().flatten() {
                self.end_thinking(out);
                out.push_back(ModelChunk::Text { text: text.to_owned() });
            }
            for call in delta.tool_calls.iter().flatten() {
                self.end_thinking(out);
                self.call(call, out)?;
            }
        }
        if let Some(reason) = filled(choice.finish_reason.as_ref()) {
            self.reason = Some(finish_reason(reason));
        }
        Ok(())
    }

    fn call(&mut self, call: &WireCall<'_>, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let function = call.function.as_ref();
        let arguments = match function.and_then(|function| function.arguments) {
            Some(raw) if raw.get().starts_with('"') => {
                serde_json::from_str::<Text<'_>>(raw.get()).map_err(|error| fault::garbage(&error))?.0
            }
            Some(raw) => Cow::Borrowed(raw.get()),
            None => Cow::Borrowed(""),
        };
        let delta = CallDelta {
            index: call.index,
            id: filled(call.id.as_ref()).unwrap_or_default(),
            name: function.and_then(|function| filled(function.name.as_ref())).unwrap_or_default(),
            arguments: &arguments,
        };
        self.calls.push(delta, out)
    }

    fn usage(&mut self, raw: &str, out: &mut VecDeque<ModelChunk>) {
        // Some servers count in floats or text; the answer is worth more than its price.
        let Ok(usage) = serde_json::from_str::<WireUsage>(raw) else { return };
        let input = usage.prompt_tokens_details.as_ref();
        let output = usage.completion_tokens_details.as_ref();
        out.push_back(ModelChunk::Usage(Usage {
            input_tokens: usage.prompt_tokens.unwrap_or_default(),
            output_tokens: usage.completion_tokens.unwrap_or_default(),
            cached_tokens: input
                .and_then(|details| details.cached_tokens)
                .or(usage.prompt_cache_hit_tokens)
                .unwrap_or_default(),
            cache_write_tokens: input.and_then(|details| details.cache_write_tokens).unwrap_or_default(),
            reasoning_tokens: output.and_then(|details| details.reasoning_tokens).unwrap_or_default(),
        }));
        self.raw_usage = Some(raw.to_owned());
    }

    fn end_thinking(&mut self, out: &mut VecDeque<ModelChunk>) {
        if !self.thinking.is_empty() {
            let text = std::mem::take(&mut self.thinking);
            let family = self.family.to_owned();
            out.push_back(ModelChunk::Thinking(Thinking { text, family, signature: None, redacted: false }));
        }
    }

    fn finish(&mut self, reason: FinishReason, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        self.end_thinking(out);
        // A forced call ends with "stop" at OpenAI; whoever runs tools wants to be told of them.
        let reason =
            if reason == FinishReason::Stop && !self.calls.is_empty() { FinishReason::ToolCalls } else { reason };
        self.calls.finish(&reason, self.seed, out)?;
        let raw_usage: Option<Value> = self.raw_usage.take().as_deref().and_then(raw_value);
        out.push_back(ModelChunk::Finished { reason, raw_usage });
        Ok(())
    }
}

impl Decode for ChatDecoder {
    fn event(&mut self, event: &SseEvent<'_>, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let data = event.data.trim();
        if data.is_empty() {
            return Ok(());
        }
        if data != DONE {
            return self.take(data, out);
        }
        match self.reason.take() {
            Some(reason) => self.finish(reason, out),
            // Some servers never name a reason; their explicit end is one.
            None if self.has_started => self.finish(FinishReason::Stop, out),
            None => Err(fault::half()),
        }
    }

    fn whole(&mut self, body: &[u8], out: &mut VecDeque<ModelChunk>) -> Result<()> {
        let text = std::str::from_utf8(body).map_err(|_| fault::nonsense("the body is not UTF-8"))?;
        let before = out.len();
        self.take(text, out)?;
        if self.reason.is_none() && out.len() <= before + 1 {
            return Err(fault::nonsense("an answer without a choice"));
        }
        let reason = self.reason.take().unwrap_or(FinishReason::Stop);
        self.finish(reason, out)
    }

    fn end(&mut self, out: &mut VecDeque<ModelChunk>) -> Result<()> {
        match self.reason.take() {
            Some(reason) => self.finish(reason, out),
            None => Err(fault::half()),
        }
    }
}

fn finish_reason(text: &str) -> FinishReason {
    match text {
        "stop" => FinishReason::Stop,
        "length" => FinishReason::Length,
        "tool_calls" | "function_call" => FinishReason::ToolCalls,
        "content_filter" => FinishReason::ContentFilter,
        other => FinishReason::Other(other.to_owned()),
    }
}
