//! The wire formats of embeddings.

use beluga_core::{EmbedRequest, Embeddings, Extra, Result};
use serde_json::{Map, Value};

use super::profile::EmbedProfile;
use super::{cohere, google, ollama, openai};
use crate::llm::{Ignored, Implied};

/// A wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmbedDialect {
    /// OpenAI's `/embeddings`, which Voyage, Jina and most servers follow.
    OpenAi,
    /// Google's `:batchEmbedContents`.
    Google,
    /// Ollama's `/api/embed`.
    Ollama,
    /// Cohere's `/v2/embed`; answers of the first version are read too.
    Cohere,
}

/// What is known of a wire format, as data: what a replay of recorded exchanges needs.
#[derive(Debug, Clone, Copy)]
pub struct EmbedFacts {
    /// Its name.
    pub name: &'static str,
    /// Leaves of an answer that say nothing.
    pub ignored: &'static [Ignored],
    /// Values of a request that mean the same as their absence.
    pub implied: &'static [Implied],
    /// Fields of a request that pass through, sorted; at most [`PASS_THROUGH_MAX`](crate::llm::PASS_THROUGH_MAX).
    pub pass_through: &'static [&'static str],
}

/// One format's half of every exchange.
pub(super) trait Grammar: Sync {
    /// Returns what is known of the format, as data.
    fn facts(&self) -> &'static EmbedFacts;

    /// Returns the path of a call below the vendor's address, escaped.
    fn path(&self, model: &str) -> String;

    /// Encodes the texts of one call.
    fn encode(&self, call: &WireCall<'_>) -> Vec<u8>;

    /// Decodes the body of a successful answer.
    fn decode(&self, body: &[u8]) -> Result<Embeddings>;

    /// Decodes the body of a request.
    fn decode_request(&self, profile: &EmbedProfile, path: &str, body: &[u8]) -> Result<EmbedRequest>;
}

/// The texts of one call, and what the request says of them all.
#[derive(Debug, Clone, Copy)]
pub(super) struct WireCall<'a> {
    pub(super) profile: &'a EmbedProfile,
    pub(super) model: &'a str,
    pub(super) request: &'a EmbedRequest,
    pub(super) texts: &'a [String],
}

impl EmbedDialect {
    /// Every wire format.
    pub const ALL: [EmbedDialect; 4] =
        [EmbedDialect::OpenAi, EmbedDialect::Google, EmbedDialect::Ollama, EmbedDialect::Cohere];

    pub(super) fn grammar(self) -> &'static dyn Grammar {
        match self {
            EmbedDialect::OpenAi => &openai::OpenAi,
            EmbedDialect::Google => &google::Google,
            EmbedDialect::Ollama => &ollama::Ollama,
            EmbedDialect::Cohere => &cohere::Cohere,
        }
    }

    /// Returns what is known of the format, as data.
    #[must_use]
    pub fn facts(self) -> &'static EmbedFacts {
        self.grammar().facts()
    }
}

/// A JSON object under construction. The caller's extra fields go before ours of the same name.
#[derive(Debug)]
pub(super) struct Body(Map<String, Value>);

impl Body {
    pub(super) fn new(extra: &Extra) -> Self {
        Self(extra.clone())
    }

    /// Sets a field, unless the caller has it.
    pub(super) fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.0.entry(name).or_insert_with(|| value.into());
    }

    /// Sets what a request says of its texts beside them, in the vendor's words.
    pub(super) fn put_request(&mut self, call: &WireCall<'_>) {
        use super::profile::Truncation;
        let (profile, request) = (call.profile, call.request);
        if let Some(words) = profile.kind {
            let kind = request.kind.map(|kind| words.word(kind));
            if let Some(word) = kind.or(words.is_needed.then_some(words.document)) {
                self.put(words.field, word);
            }
        }
        if let (Some(field), Some(dimensions)) = (profile.dimensions_field, request.dimensions) {
            self.put(field, dimensions);
        }
        match (profile.truncation, request.truncate) {
            (Truncation::Untold, _) | (_, None) => {}
            (Truncation::Flag(field), Some(truncate)) => self.put(field, truncate),
            (Truncation::EndOrNone, Some(truncate)) => self.put("truncate", if truncate { "END" } else { "NONE" }),
        }
        if let Some((field, value)) = profile.base64 {
            self.put(field, value);
        }
    }

    pub(super) fn into_value(self) -> Value {
        Value::Object(self.0)
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.into_value().to_string().into_bytes()
    }
}

/// Takes what a vendor is told beside the texts out of a request's fields; what has no word in the normal form stays.
pub(super) fn take_request(profile: &EmbedProfile, fields: &mut Extra, request: &mut EmbedRequest) {
    use super::profile::Truncation;
    fields.retain(|_, value| !value.is_null());
    if let Some(words) = profile.kind {
        request.kind = fields.get(words.field).and_then(Value::as_str).and_then(|word| words.kind(word));
        if request.kind.is_some() {
            fields.shift_remove(words.field);
        }
    }
    if let Some(field) = profile.dimensions_field {
        let dimensions = fields.get(field).and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok());
        request.dimensions = dimensions.filter(|dimensions| *dimensions > 0);
        if request.dimensions.is_some() {
            fields.shift_remove(field);
        }
    }
    let (field, truncate) = match profile.truncation {
        Truncation::Untold => return,
        Truncation::Flag(field) => (field, fields.get(field).and_then(Value::as_bool)),
        Truncation::EndOrNone => {
            let word = fields.get("truncate").and_then(Value::as_str);
            (
                "truncate",
                word.and_then(|word| [("END", true), ("NONE", false)].into_iter().find(|known| known.0 == word))
                    .map(|known| known.1),
            )
        }
    };
    request.truncate = truncate;
    if truncate.is_some() {
        fields.shift_remove(field);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::PASS_THROUGH_MAX;

    #[test]
    fn no_dialect_passes_more_through_than_it_may() {
        for dialect in EmbedDialect::ALL {
            let facts = dialect.facts();
            assert!(facts.pass_through.len() <= PASS_THROUGH_MAX, "{}", facts.name);
            assert!(facts.pass_through.is_sorted(), "{}: sorted", facts.name);
        }
    }
}
