//! OpenAI's chat completions, the dialect most vendors speak (API reference, read 2026-11), and Mistral's, which is the same
//! but for content in chunks (chat completion API, reasoning, as of 2026-11).

mod assembler;
mod body;
mod citation;
mod decode;
mod details;
mod encode;
mod lane;
mod message;
mod part;
mod request;
mod request_message;

pub(super) use citation::citation;

use beluga_core::Result;

use super::answer::Decode;
use super::dialect::{Call, DialectFacts, Grammar, Ignored, Implied, Target, WireRequest};
use super::framing::Framing;
use super::profile::Profile;

/// The dialect, under one of its names.
#[derive(Debug)]
pub(super) struct Chat(&'static DialectFacts);

/// OpenAI's own.
pub(super) static CHAT: Chat = Chat(&DialectFacts {
    name: "openai-chat",
    headers: &[],
    framing: Framing::Sse,
    pass_through: &[
        "cache_prompt",
        "clear_thinking",
        "format",
        "grammar",
        "json_schema",
        "max_completion_tokens",
        "max_tokens",
        "models",
        "moderation",
        "preset",
        "provider",
        "reasoning_effort",
        "return_related_questions",
        "search_context_size",
        "search_settings",
        "thinking",
        "transforms",
        "usage",
        "venice_parameters",
        "web_search_options",
    ],
    implied: IMPLIED,
    ignored: IGNORED,
});

/// Mistral's.
pub(super) static MISTRAL: Chat = Chat(&DialectFacts {
    name: "mistral",
    headers: &[],
    framing: Framing::Sse,
    pass_through: &[
        "document_image_limit",
        "document_page_limit",
        "guardrails",
        "prediction",
        "prefix",
        "prompt_mode",
        "safe_prompt",
    ],
    implied: IMPLIED,
    ignored: IGNORED,
});

const IMPLIED: &[Implied] = &[
    Implied { path: "stream", value: "false" },
    Implied { path: "messages[].prefix", value: "false" },
    Implied { path: "stream_options.include_usage", value: "false" },
    Implied { path: "stream_options", value: "{}" },
    Implied { path: "tools", value: "[]" },
    Implied { path: "tool_choice", value: "\"auto\"" },
    Implied { path: "tools[].type", value: "\"function\"" },
    Implied { path: "messages[].reasoning_content", value: "\"\"" },
    Implied { path: "messages[].reasoning", value: "\"\"" },
    Implied { path: "tools[].function.description", value: "\"\"" },
    Implied { path: "response_format", value: r#"{"type":"text"}"# },
    Implied { path: "response_format.json_schema.strict", value: "false" },
    // A message that says nothing is written as null, as an empty text, or not at all.
    Implied { path: "messages[].content", value: "\"\"" },
    Implied { path: "messages[].tool_calls", value: "[]" },
    Implied { path: "messages[].tool_calls[].type", value: "\"function\"" },
];

const IGNORED: &[Ignored] = &[
    Ignored { path: "object", value: None, why: "it names the sort of document" },
    Ignored { path: "choices[].index", value: None, why: "the first answer is the answer, the others follow in order" },
    Ignored { path: "choices[].delta.tool_calls[].index", value: None, why: "calls follow in order" },
    Ignored { path: "choices[].message.tool_calls[].index", value: None, why: "calls follow in order" },
    Ignored {
        path: "choices[].delta.tool_calls[].type",
        value: Some("\"function\""),
        why: "a call is one of a function",
    },
    Ignored {
        path: "choices[].message.tool_calls[].type",
        value: Some("\"function\""),
        why: "a call is one of a function",
    },
    Ignored { path: "choices[].text", value: None, why: "it repeats the content" },
    Ignored { path: "choices[].token_id", value: None, why: "it numbers the content's tokens" },
    Ignored { path: "choices[].*.padding", value: None, why: "it hides the length from eavesdroppers" },
    Ignored { path: "choices[].*.token_id", value: None, why: "it numbers the content's tokens" },
    Ignored { path: "created", value: None, why: "each chunk tells its own time; the first is kept" },
    Ignored { path: "id", value: None, why: "some give each chunk its own; the first is kept" },
    Ignored { path: "obfuscation", value: None, why: "it hides the length from eavesdroppers" },
    Ignored { path: "p", value: None, why: "it hides the length from eavesdroppers" },
    Ignored {
        path: "choices[].*.reasoning_details[].type",
        value: Some("\"reasoning.text\""),
        why: "thinking is thinking",
    },
    Ignored {
        path: "choices[].*.reasoning_details[].type",
        value: Some("\"reasoning.summary\""),
        why: "it is marked as a summary",
    },
    Ignored {
        path: "choices[].*.reasoning_details[].type",
        value: Some("\"reasoning.encrypted\""),
        why: "it is marked as withheld",
    },
    Ignored { path: "choices[].*.content[].type", value: Some("\"text\""), why: "text is text" },
    Ignored { path: "choices[].*.content[].type", value: Some("\"thinking\""), why: "thinking is thinking" },
    Ignored { path: "choices[].*.content[].closed", value: None, why: "thinking ends where something else begins" },
    Ignored { path: "choices[].*.content[].thinking[].type", value: Some("\"text\""), why: "text is text" },
];

impl Grammar for Chat {
    fn facts(&self) -> &'static DialectFacts {
        self.0
    }

    fn target(&self, _model: &str, _stream: bool) -> Target {
        Target::fixed("/chat/completions")
    }

    fn encode(&self, call: &Call<'_>) -> Result<Vec<u8>> {
        encode::encode(call)
    }

    fn decode_request(&self, profile: &Profile, _path: &str, body: &[u8]) -> Result<WireRequest> {
        request::decode_request(profile, body)
    }

    fn decoder(&self, profile: &Profile, seed: u64) -> Box<dyn Decode> {
        Box::new(decode::ChatDecoder::new(profile, seed))
    }
}
