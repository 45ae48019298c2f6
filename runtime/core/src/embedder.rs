//! The contract of an embedder: texts in, one vector for each out.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::BoxFuture;
use crate::context::CallContext;
use crate::error::{Error, Result};
use crate::item::Content;
use crate::notes::Extra;
use crate::usage::Usage;

/// The most texts of one request.
pub const EMBED_TEXTS_MAX: usize = 65_536;

/// The most bytes of all texts of one request.
pub const EMBED_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Turns texts into vectors whose distances say how alike the texts are: a bare provider, a supervised actor or a test
/// double; code cannot tell.
///
/// Laws (tested over every implementation under these names):
/// - `one_vector_per_text_in_order`: the vector at a place is that of the text at the same place, however many calls of
///   the vendor it takes;
/// - `dimensions_agree`: all vectors have the same length, the one that was asked for or that [`info`](Self::info) tells;
/// - `numbers_are_finite`: no vector holds an infinity or no number;
/// - `nothing_is_free`: a request without texts is answered without asking anybody;
/// - `too_much_is_refused`: above [`EMBED_TEXTS_MAX`] or [`EMBED_MAX_BYTES`] nothing is sent, `invalid_input`;
/// - `cancel_ends`: a cancelled context ends the call with `cancelled`, a passed deadline with `timeout`;
/// - `drop_cancels`: dropping the future ends the call, down to the requests in flight.
pub trait Embedder: fmt::Debug + Send + Sync + 'static {
    /// Returns what the embedder is.
    fn info(&self) -> EmbedderInfo;

    /// Embeds the texts of a request. Lazy: nothing is sent before the future is polled.
    ///
    /// # Errors
    /// `invalid_input` for a request out of bounds; `decode` if the vectors have another length than was asked for;
    /// what the vendor answers.
    fn embed(&self, request: Arc<EmbedRequest>, cx: CallContext) -> BoxFuture<'static, Result<Embeddings>>;

    /// Embeds one text.
    ///
    /// # Errors
    /// As [`embed`](Self::embed).
    fn embed_one(&self, text: &str, kind: EmbedKind, cx: CallContext) -> BoxFuture<'static, Result<Vec<f32>>> {
        let embedding = self.embed(Arc::new(EmbedRequest::new([text], kind)), cx);
        Box::pin(async move {
            let vector = embedding.await?.vectors.pop();
            vector.ok_or_else(|| Error::provider_unavailable("the embedder gave no vector"))
        })
    }

    /// Returns how many numbers a vector has; `None` until the first answer tells.
    fn dimensions(&self) -> Option<usize> {
        self.info().dimensions
    }
}

impl<E: Embedder + ?Sized> Embedder for Arc<E> {
    fn info(&self) -> EmbedderInfo {
        (**self).info()
    }

    fn embed(&self, request: Arc<EmbedRequest>, cx: CallContext) -> BoxFuture<'static, Result<Embeddings>> {
        (**self).embed(request, cx)
    }
}

/// What an embedder is. Vectors of two models are not comparable, nor are those of two lengths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbedderInfo {
    /// The provider as OpenTelemetry names it: `openai`, `cohere`, `beluga.local`.
    pub provider: String,
    /// The vendor's model id.
    pub model: String,
    /// How many numbers a vector has; `None` until the first answer tells.
    pub dimensions: Option<usize>,
}

/// What a text is embedded for. Many models embed a question and the passage that answers it each in its own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmbedKind {
    /// It is kept and searched.
    Document,
    /// It is searched with.
    Query,
}

/// One call of an embedder. Immutable and shared: a retry sends the same request.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct EmbedRequest {
    /// The texts.
    pub texts: Vec<String>,
    /// What they are embedded for. Where absent, vendors that must be told are told "document".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<EmbedKind>,
    /// The model; the embedder's own where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How many numbers a vector is to have, for models that can shorten theirs; the embedder's own where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<usize>,
    /// Whether a text that is too long for the model is cut at its end; an error of the vendor's where it is not. The
    /// embedder's own where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncate: Option<bool>,
    /// Fields of the vendor's own, by their wire names. They go before what is said above.
    #[serde(default, skip_serializing_if = "Extra::is_empty")]
    pub extra: Extra,
}

impl EmbedRequest {
    /// Makes a request of texts.
    ///
    /// ```
    /// use beluga_core::{EmbedKind, EmbedRequest};
    ///
    /// let request = EmbedRequest::new(["a passage", "another"], EmbedKind::Document);
    /// assert_eq!(request.texts.len(), 2);
    /// assert!(request.check().is_ok());
    /// ```
    #[must_use]
    pub fn new<T: Into<String>>(texts: impl IntoIterator<Item = T>, kind: EmbedKind) -> Self {
        Self { texts: texts.into_iter().map(Into::into).collect(), kind: Some(kind), ..Self::default() }
    }

    /// Returns the bytes of all texts.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.texts.iter().fold(0, |sum: usize, text| sum.saturating_add(text.len()))
    }

    /// Checks the bounds every embedder has.
    ///
    /// # Errors
    /// `invalid_input` names the bound.
    pub fn check(&self) -> Result<()> {
        if self.texts.len() > EMBED_TEXTS_MAX {
            let count = self.texts.len();
            return Err(Error::invalid_input(format!("{count} texts to embed; at most {EMBED_TEXTS_MAX} at once")));
        }
        let bytes = self.bytes();
        if bytes > EMBED_MAX_BYTES {
            return Err(Error::invalid_input(format!("{bytes} bytes to embed; at most {EMBED_MAX_BYTES} at once")));
        }
        if self.dimensions == Some(0) {
            return Err(Error::invalid_input("dimensions is 0; a vector has at least one number"));
        }
        Ok(())
    }
}

/// The vectors of a request, in the order of its texts.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Embeddings {
    /// A row per text, each of the same length.
    pub vectors: Vec<Vec<f32>>,
    /// What it cost: input tokens, as far as the vendor tells.
    pub usage: Usage,
    /// What the vendor said beside the vectors, one entry per call it took.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<CallNotes>,
}

impl Content for Embeddings {
    fn weight(&self) -> Option<u64> {
        Some(self.usage.total_tokens())
    }
}

/// What a vendor said of one call beside its result.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CallNotes {
    /// The vendor's id of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The model that answered, as the vendor names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The vendor's usage object, as it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_usage: Option<Value>,
    /// The vendor's other fields.
    #[serde(skip_serializing_if = "Extra::is_empty")]
    pub extra: Extra,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn a_request_out_of_bounds_names_the_bound() {
        let many = EmbedRequest::new(vec![""; EMBED_TEXTS_MAX + 1], EmbedKind::Query);
        let error = many.check().unwrap_err();
        assert_eq!(error.code(), Code::InvalidInput);
        assert!(error.message().contains("at most 65536"), "{error}");
        let long = EmbedRequest::new(["x".repeat(EMBED_MAX_BYTES), "y".into()], EmbedKind::Query);
        assert!(long.check().unwrap_err().message().contains("67108865 bytes"));
        let flat = EmbedRequest { dimensions: Some(0), ..EmbedRequest::default() };
        assert!(flat.check().is_err() && EmbedRequest::default().check().is_ok());
    }

    #[test]
    fn a_request_survives_json_and_says_nothing_of_what_is_absent() {
        let request = EmbedRequest { dimensions: Some(256), ..EmbedRequest::new(["a"], EmbedKind::Query) };
        let json = serde_json::to_value(&request).unwrap();
        assert_eq!(json, serde_json::json!({"texts": ["a"], "kind": "query", "dimensions": 256}));
        assert_eq!(serde_json::from_value::<EmbedRequest>(json).unwrap(), request);
    }
}
