//! Wire formats: what one is, and the table that leads to each.

use std::borrow::Cow;

use beluga_core::{Error, ModelRequest, Result};

use super::answer::Decode;
use super::framing::Framing;
use super::profile::Profile;
use super::{anthropic, bedrock, cohere, gemini, interactions, ollama, openai_chat, responses};

/// A wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// OpenAI's chat completions, spoken by most vendors.
    OpenAiChat,
    /// Anthropic's Messages.
    Anthropic,
    /// Gemini's generateContent, also of Vertex AI.
    Gemini,
    /// Bedrock's Converse.
    Bedrock,
    /// Gemini's Interactions.
    Interactions,
    /// Mistral's chat: OpenAI's, with content in chunks.
    Mistral,
    /// Ollama's own chat.
    Ollama,
    /// Cohere's chat, version 2.
    Cohere,
    /// OpenAI's Responses.
    Responses,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Dialect; 9] = [
        Dialect::OpenAiChat,
        Dialect::Anthropic,
        Dialect::Gemini,
        Dialect::Bedrock,
        Dialect::Interactions,
        Dialect::Mistral,
        Dialect::Ollama,
        Dialect::Cohere,
        Dialect::Responses,
    ];

    /// The table: one arm a dialect. Everything else goes through what it returns.
    pub(super) fn grammar(self) -> &'static dyn Grammar {
        match self {
            Dialect::OpenAiChat => &openai_chat::CHAT,
            Dialect::Anthropic => &anthropic::Messages,
            Dialect::Gemini => &gemini::Gemini,
            Dialect::Bedrock => &bedrock::Converse,
            Dialect::Interactions => &interactions::Interactions,
            Dialect::Mistral => &openai_chat::MISTRAL,
            Dialect::Ollama => &ollama::Ollama,
            Dialect::Cohere => &cohere::Cohere,
            Dialect::Responses => &responses::Responses,
        }
    }

    /// Returns what is known of the dialect, as data.
    #[must_use]
    pub fn facts(self) -> &'static DialectFacts {
        self.grammar().facts()
    }
}

/// What is known of a dialect, as data.
#[derive(Debug)]
pub struct DialectFacts {
    /// Its name: `openai-chat`, `anthropic`.
    pub name: &'static str,
    /// The headers every request has besides the key.
    pub headers: &'static [(&'static str, &'static str)],
    /// How a streamed answer is cut into events.
    pub framing: Framing,
    /// The names of the fields, at any depth of a request, that the normal form has no word for and that pass through its
    /// `extra` verbatim. At most [`PASS_THROUGH_MAX`].
    pub pass_through: &'static [&'static str],
    /// What a decoded request may lack because it is what the vendor does anyhow.
    pub implied: &'static [Implied],
    /// What a decoded answer may lack because it says nothing.
    pub ignored: &'static [Ignored],
}

/// The most pass-through names a dialect may have.
pub const PASS_THROUGH_MAX: usize = 20;

/// A value that says the same as its absence.
#[derive(Debug, Clone, Copy)]
pub struct Implied {
    /// Where: names joined by dots, `[]` for any place of a list, `*` for any name, as in `tools[].function.description`.
    pub path: &'static str,
    /// The value, as JSON.
    pub value: &'static str,
}

/// A leaf of an answer that says nothing.
#[derive(Debug, Clone, Copy)]
pub struct Ignored {
    /// Where, as in [`Implied::path`]; a trailing `**` stands for everything below.
    pub path: &'static str,
    /// The one value it may have, as JSON; `None` if the value does not matter.
    pub value: Option<&'static str>,
    /// Why nothing is lost.
    pub why: &'static str,
}

/// One dialect's half of every exchange. Stateless; the decoder of an answer holds what it has seen.
pub(super) trait Grammar: Sync {
    /// Returns what is known of the dialect, as data.
    fn facts(&self) -> &'static DialectFacts;

    /// Returns where calls go below the vendor's address.
    fn target(&self, model: &str, stream: bool) -> Target;

    /// Encodes a request as the body of the vendor's HTTP request.
    ///
    /// # Errors
    /// `unsupported` names what the vendor cannot take.
    fn encode(&self, call: &Call<'_>) -> Result<Vec<u8>>;

    /// Decodes the body of a request somebody else encoded; `path` is the path of its URL, for dialects that name the
    /// model there.
    ///
    /// # Errors
    /// `invalid_input` if it is no request of the dialect; `unsupported` where the dialect only asks and never serves.
    fn decode_request(&self, profile: &Profile, path: &str, body: &[u8]) -> Result<WireRequest> {
        let _ = (profile, path, body);
        Err(Error::unsupported(format!("requests of the dialect {} are not decoded", self.facts().name)))
    }

    /// Makes the decoder of one answer; `seed` makes ids for tool calls that come without one.
    fn decoder(&self, profile: &Profile, seed: u64) -> Box<dyn Decode>;
}

/// A call to be encoded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) profile: &'a Profile,
    /// The model; the request's own wins where it names one.
    pub(super) model: &'a str,
    pub(super) request: &'a ModelRequest,
    pub(super) stream: bool,
    /// The limit of requests that set none.
    pub(super) max_tokens: Option<u32>,
}

impl<'a> Call<'a> {
    /// Returns the model that is asked for.
    pub(super) fn model(&self) -> &'a str {
        self.request.options.model.as_deref().unwrap_or(self.model)
    }
}

/// Where calls go below the vendor's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Begins with a slash; already escaped.
    pub(super) path: Cow<'static, str>,
    /// A query without its question mark, such as `alt=sse`.
    pub(super) query: Option<&'static str>,
}

impl Target {
    /// Makes a target that is the same for every model.
    pub(super) const fn fixed(path: &'static str) -> Self {
        Self { path: Cow::Borrowed(path), query: None }
    }
}

/// A request that came over the wire.
#[derive(Debug, Clone, PartialEq)]
pub struct WireRequest {
    /// The request; the model asked for stands in its options.
    pub request: ModelRequest,
    /// Whether the answer is to be streamed.
    pub stream: bool,
}

/// Escapes one segment of a path: everything but letters, digits and `-._~`.
pub(super) fn escaped_segment(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_dialect_passes_more_through_than_it_may() {
        for dialect in Dialect::ALL {
            let facts = dialect.facts();
            assert!(facts.pass_through.len() <= PASS_THROUGH_MAX, "{}", facts.name);
            let mut sorted = facts.pass_through.to_vec();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted, facts.pass_through, "{}: sorted, each once", facts.name);
        }
    }

    #[test]
    fn segments_are_escaped() {
        assert_eq!(escaped_segment("amazon.nova-lite-v1:0"), "amazon.nova-lite-v1%3A0");
        assert_eq!(escaped_segment("a/b é"), "a%2Fb%20%C3%A9");
    }
}
