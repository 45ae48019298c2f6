//! The shapes of an answer's body: a chunk of a stream and a whole answer differ in one field's name.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::super::json::Text;
use super::super::wire::{Few, wire};

wire! {
    /// A chunk, or a whole answer.
    pub(super) struct WireChunk<'a> {
        id: Text<'a> = "id",
        model: Text<'a> = "model",
        object: Text<'a> = "object",
        created: &'a RawValue = "created",
        choices: Few<WireChoice<'a>> = "choices",
        usage: &'a RawValue = "usage",
        x_groq: &'a RawValue = "x_groq",
        error: &'a RawValue = "error",
    }
}

wire! {
    /// One of the answers.
    pub(super) struct WireChoice<'a> {
        index: i64 = "index",
        delta: WireDelta<'a> = "delta",
        message: WireDelta<'a> = "message",
        finish_reason: Text<'a> = "finish_reason",
        logprobs: &'a RawValue = "logprobs",
    }
}

wire! {
    /// What is said, or a piece of it.
    pub(super) struct WireDelta<'a> {
        role: &'a RawValue = "role",
        content: WireSaid<'a> = "content",
        refusal: Text<'a> = "refusal",
        reasoning_content: Text<'a> = "reasoning_content",
        reasoning: Text<'a> = "reasoning",
        reasoning_details: Vec<WireDetail<'a>> = "reasoning_details",
        annotations: Vec<&'a RawValue> = "annotations",
        audio: WireAudio<'a> = "audio",
        images: Vec<&'a RawValue> = "images",
        tool_calls: Vec<WireCall<'a>> = "tool_calls",
    }
}

wire! {
    /// A piece of thinking as OpenRouter passes it on, which returns as it came.
    pub(super) struct WireDetail<'a> {
        kind: Text<'a> = "type",
        index: i64 = "index",
        id: Text<'a> = "id",
        text: Text<'a> = "text",
        summary: Text<'a> = "summary",
        data: Text<'a> = "data",
        signature: Text<'a> = "signature",
    }
}

wire! {
    /// Spoken words.
    pub(super) struct WireAudio<'a> {
        id: Text<'a> = "id",
        data: Text<'a> = "data",
        transcript: Text<'a> = "transcript",
    }
}

wire! {
    /// A call of a tool, or a piece of it.
    pub(super) struct WireCall<'a> {
        index: i64 = "index",
        id: Text<'a> = "id",
        kind: Text<'a> = "type",
        function: WireFunction<'a> = "function",
        custom: WireFunction<'a> = "custom",
    }
}

wire! {
    /// The function called.
    pub(super) struct WireFunction<'a> {
        name: Text<'a> = "name",
        /// Text by the book; some servers send the object itself.
        arguments: &'a RawValue = "arguments" | "input",
    }
}

wire! {
    /// Counters, under every name a vendor has for them.
    pub(super) struct WireUsage<'a> {
        prompt_tokens: Count = "prompt_tokens",
        completion_tokens: Count = "completion_tokens",
        total_tokens: Count = "total_tokens",
        input: WireUsageDetails<'a> = "prompt_tokens_details",
        output: WireUsageDetails<'a> = "completion_tokens_details",
        cached: Count = "prompt_cache_hit_tokens" | "cached_tokens" | "num_cached_tokens" | "cache_read_input_tokens",
        cache_write: Count = "cache_creation_input_tokens",
        reasoning: Count = "reasoning_tokens",
    }
}

wire! {
    /// A closer look at the counters.
    pub(super) struct WireUsageDetails<'a> {
        cached: Count = "cached_tokens",
        cache_write: Count = "cache_write_tokens",
        reasoning: Count = "reasoning_tokens",
    }
}

/// Content: a text, or a list of chunks.
#[derive(Debug)]
pub(super) enum WireSaid<'a> {
    Text(Text<'a>),
    Parts(Vec<&'a RawValue>),
}

impl<'a> Deserialize<'a> for WireSaid<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        struct Said;
        impl<'a> Visitor<'a> for Said {
            type Value = WireSaid<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of parts")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'a str) -> Result<Self::Value, E> {
                Ok(WireSaid::Text(Text(text.into())))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(WireSaid::Text(Text(text.to_owned().into())))
            }

            fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut parts = Vec::new();
                while let Some(part) = list.next_element()? {
                    parts.push(part);
                }
                Ok(WireSaid::Parts(parts))
            }
        }
        deserializer.deserialize_any(Said)
    }
}

/// A number of tokens, however a server writes it: the answer is worth more than its price, and none fails for it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Count(pub(super) u64);

impl<'a> Deserialize<'a> for Count {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        let text = raw.get().trim_matches('"');
        let rounded = || text.parse::<f64>().ok().filter(|number| (0.0..9.0e15).contains(number));
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
        let number = text.parse().ok().or_else(|| rounded().map(|number| number as u64));
        Ok(Self(number.unwrap_or_default()))
    }
}
