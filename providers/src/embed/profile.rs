//! What is known of a vendor of embeddings, as data.

use beluga_core::{EmbedKind, EmbedRequest, Embeddings, ProviderVariables, Result};

use super::dialect::{EmbedDialect, WireCall};

/// A vendor: where it is, how it is called, and what it takes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmbedProfile {
    /// The kind in the configuration.
    pub name: &'static str,
    /// The value of `gen_ai.provider.name`.
    pub otel_name: &'static str,
    /// The wire format.
    pub dialect: EmbedDialect,
    /// The address without a trailing slash; `None` if the configuration must name it.
    pub base_url: Option<&'static str>,
    /// Whether a configured address may leave out scheme and port, as Ollama's variables do.
    pub is_ollamas_address: bool,
    /// The header that carries the key; a bearer token where `None`.
    pub key_header: Option<&'static str>,
    /// The environment variables the vendor's own tools read, and whether a key is needed.
    pub variables: ProviderVariables,
    /// The model used where the configuration names none; `None` if it must.
    pub default_model: Option<&'static str>,
    /// The most texts of one call.
    pub batch_texts_max: usize,
    /// The most tokens of all texts of one call, kept by counting bytes: no text has more tokens than bytes. A single text
    /// above it goes alone, for the vendor to judge.
    pub batch_tokens_max: Option<usize>,
    /// How the vendor is told what a text is for, where it tells apart.
    pub kind: Option<KindWords>,
    /// The field of the length of a vector, where models can shorten theirs.
    pub dimensions_field: Option<&'static str>,
    /// How the vendor is told whether to cut what is too long.
    pub truncation: Truncation,
    /// A field and its value that ask for vectors as base64 of little-endian floats, a third of their size as digits.
    pub base64: Option<(&'static str, &'static str)>,
    /// Whether a vector the vendor has shortened is brought back to length one here.
    pub normalises_shortened: bool,
    /// How long the vectors of known models are where nobody asks for another length.
    pub model_dimensions: &'static [(&'static str, usize)],
}

/// A vendor's words for what a text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindWords {
    /// The field.
    pub field: &'static str,
    /// The word for a text that is searched.
    pub document: &'static str,
    /// The word for a text that is searched with.
    pub query: &'static str,
    /// Whether the field must be there; it then says `document` where the request says nothing.
    pub is_needed: bool,
}

/// How a vendor is told whether to cut texts that are too long for the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truncation {
    /// It takes no word for it.
    Untold,
    /// This field is true or false.
    Flag(&'static str),
    /// `truncate` is `END` or `NONE`.
    EndOrNone,
}

impl KindWords {
    /// Returns the word for a kind.
    pub(super) fn word(&self, kind: EmbedKind) -> &'static str {
        match kind {
            EmbedKind::Document => self.document,
            EmbedKind::Query => self.query,
        }
    }

    /// Returns the kind of a word, if it is one of the two.
    pub(super) fn kind(&self, word: &str) -> Option<EmbedKind> {
        [EmbedKind::Document, EmbedKind::Query].into_iter().find(|kind| self.word(*kind) == word)
    }
}

impl EmbedProfile {
    /// Returns the path of a call below the vendor's address, escaped.
    #[must_use]
    pub fn path(&self, model: &str) -> String {
        self.dialect.grammar().path(model)
    }

    /// Encodes a request as the body of one HTTP request, whatever its size; `model` where the request names none.
    ///
    /// ```
    /// use beluga_core::{EmbedKind, EmbedRequest};
    ///
    /// let request = EmbedRequest::new(["panda"], EmbedKind::Query);
    /// let body: serde_json::Value =
    ///     serde_json::from_slice(&beluga_providers::embed::COHERE.encode("embed-v4.0", &request)).unwrap();
    /// assert_eq!(body["input_type"], "search_query");
    /// ```
    #[must_use]
    pub fn encode(&self, model: &str, request: &EmbedRequest) -> Vec<u8> {
        let model = request.model.as_deref().unwrap_or(model);
        self.encode_batch(model, request, &request.texts)
    }

    /// Encodes a part of a request's texts.
    pub(super) fn encode_batch(&self, model: &str, request: &EmbedRequest, texts: &[String]) -> Vec<u8> {
        self.dialect.grammar().encode(&WireCall { profile: self, model, request, texts })
    }

    /// Decodes the body of a successful answer. Number and length of the vectors are not checked here: only the request
    /// tells them.
    ///
    /// # Errors
    /// `provider_unavailable` if it is no answer of the dialect.
    pub fn decode(&self, body: &[u8]) -> Result<Embeddings> {
        self.dialect.grammar().decode(body)
    }

    /// Decodes the body of a request somebody else encoded for this vendor; `path` is the path of its URL.
    ///
    /// # Errors
    /// `invalid_input` if it is no request of the dialect; `unsupported` if it embeds no texts, or each in its own way.
    pub fn decode_request(&self, path: &str, body: &[u8]) -> Result<EmbedRequest> {
        self.dialect.grammar().decode_request(self, path, body)
    }

    /// Returns how long a model's vectors are, where it is known.
    #[must_use]
    pub fn dimensions_of(&self, model: &str) -> Option<usize> {
        // Ollama's models have a tag, such as `:latest` or `:v1.5`.
        let bare = model.split(':').next().unwrap_or(model);
        self.model_dimensions
            .iter()
            .find(|(name, _)| *name == model || *name == bare)
            .map(|(_, dimensions)| *dimensions)
    }
}
