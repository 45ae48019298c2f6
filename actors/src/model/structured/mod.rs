//! Answers of a type, from a bare model; an agent has [`Ask::output`](crate::agent::Ask::output).
//!
//! The schema of the type goes to the model in the way it takes one ([`StructuredMode`]), the answer is checked against it
//! and parsed, and a wrong one is sent back with what is wrong. Beluga checks also what a vendor enforces: vendors refuse
//! keywords that a type may have.
//!
//! Limits: [`OUTPUT_RETRIES`] answers are sent back unless told otherwise,
//! [`PARTIAL_MAX_BYTES`] of an answer are followed while it comes.

mod form;
mod partial;
mod run;
mod strict;
#[cfg(test)]
mod tests;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use beluga_core::{BoxStream, CallContext, ChatModel, Code, Error, ModelRequest, Result, Usage};
use futures_util::StreamExt;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) use form::{Form, complaint};
pub use partial::{PARTIAL_MAX_BYTES, PARTIAL_MAX_DEPTH, PARTIAL_PACED_BYTES, PartialJson};

use crate::agent::OUTPUT_RETRIES;

/// The most bytes of the last answer that travel with the error that no answer fitted.
pub(crate) const LAST_TEXT_MAX_BYTES: usize = 64 * 1024;

/// How the model is told the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StructuredMode {
    /// As its [`ModelInfo`](beluga_core::ModelInfo) says: native where it takes schemas, else a tool, else in words.
    #[default]
    Auto,
    /// As the vendor's own format of the answer.
    Native,
    /// As the arguments of a tool it must call.
    Tool,
    /// In the system prompt.
    Prompt,
}

/// Makes answers of a type from any model: `model.structured::<City>()`.
pub trait StructuredModel: ChatModel + Sized {
    /// Asks for answers that are a `T`, which must be a struct.
    ///
    /// ```
    /// use beluga_actors::model::structured::StructuredModel;
    /// use beluga_actors::testkit::{Answer, ScriptedModel};
    /// use beluga_core::{CallContext, ChatMessage, ModelRequest};
    ///
    /// #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// struct City {
    ///     name: String,
    /// }
    ///
    /// # futures_util::FutureExt::now_or_never(async {
    /// let model = ScriptedModel::new([Answer::text("Oslo."), Answer::text("{\"name\": \"Oslo\"}")]);
    /// let request = ModelRequest { messages: vec![ChatMessage::user("Which city?").into()], ..ModelRequest::default() };
    /// let answer = model.structured::<City>().generate(request, CallContext::new()).await.unwrap();
    /// assert_eq!((answer.output.name.as_str(), answer.tries), ("Oslo", 2));
    /// # }).unwrap();
    /// ```
    fn structured<T: DeserializeOwned + JsonSchema + Send + 'static>(self) -> Structured<T> {
        Structured { model: Arc::new(self), mode: StructuredMode::Auto, retries: OUTPUT_RETRIES, output: PhantomData }
    }
}

impl<M: ChatModel + Sized> StructuredModel for M {}

/// A model whose answers are a `T`.
pub struct Structured<T> {
    model: Arc<dyn ChatModel>,
    mode: StructuredMode,
    retries: u32,
    output: PhantomData<fn() -> T>,
}

/// An answer that is a `T`.
#[derive(Debug, Clone, PartialEq)]
pub struct StructuredAnswer<T> {
    /// The answer.
    pub output: T,
    /// The tokens of all tries.
    pub usage: Usage,
    /// How many answers it took, from 1.
    pub tries: u32,
}

/// What comes of an answer that is a `T`.
#[derive(Debug, Clone, PartialEq)]
pub enum StructuredItem<T> {
    /// What is known so far; it is not checked. After an answer that was sent back it begins anew.
    Partial(Value),
    /// The answer, checked; the last item.
    Done(StructuredAnswer<T>),
}

impl<T: DeserializeOwned + JsonSchema + Send + 'static> Structured<T> {
    /// Tells the schema in this way.
    #[must_use]
    pub fn mode(mut self, mode: StructuredMode) -> Self {
        self.mode = mode;
        self
    }

    /// Sends at most so many answers back.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Answers. Dropping the future ends the call.
    ///
    /// # Errors
    /// `config` if `T` is no struct; `invalid_input` for a request with tools, which an agent runs and a model does not;
    /// `decode` if no answer fitted: its message says what was wrong with the last one, whose text stands under
    /// [`PARTIAL`](beluga_core::PARTIAL); what the model answers.
    pub async fn generate(&self, request: ModelRequest, cx: CallContext) -> Result<StructuredAnswer<T>> {
        let mut items = self.stream(request, cx);
        while let Some(item) = items.next().await {
            if let StructuredItem::Done(answer) = item? {
                return Ok(answer);
            }
        }
        Err(Error::new(Code::Internal, "a structured answer ended without its end"))
    }

    /// Answers, and shows what is known while it comes. Dropping the stream ends the call.
    ///
    /// # Errors
    /// An error is the last item; those of [`generate`](Self::generate).
    #[must_use]
    pub fn stream(&self, request: ModelRequest, cx: CallContext) -> BoxStream<'static, Result<StructuredItem<T>>> {
        run::start(Arc::clone(&self.model), self.mode, self.retries, request, cx)
    }
}

impl<T> fmt::Debug for Structured<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Structured").field("model", &self.model).field("mode", &self.mode).finish_non_exhaustive()
    }
}

/// Returns the error that no answer fitted, with the last one's text.
pub(crate) fn unfit(error: &Error, last: &str, tries: u32) -> Error {
    let shown = last.get(..last.floor_char_boundary(LAST_TEXT_MAX_BYTES)).unwrap_or_default();
    Error::decode(format!("the answer is not of the wanted form: {}", error.message()))
        .with("tries", tries)
        .with(beluga_core::PARTIAL, shown)
}
