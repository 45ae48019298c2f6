//! The one embedder behind HTTP: cut, send, put together, check.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use beluga_core::{BoxFuture, CallContext, EmbedRequest, Embedder, EmbedderInfo, Embeddings, Error, Extra, Result};
use futures_util::{StreamExt, stream};
use url::Url;

use super::batch::batches;
use super::profile::EmbedProfile;
use super::vector;
use crate::vendor::{Connection, Posted, below};

/// The most calls one request makes at a time; further batches wait.
pub const BATCHES_AT_ONCE: usize = 4;

/// What is done, for errors.
const OP: &str = "embedder.embed";

/// A vendor's embedder. A clone is the same embedder.
#[derive(Clone)]
pub(super) struct HttpEmbedder(pub(super) Arc<Settings>);

/// Everything a call needs besides its request.
pub(super) struct Settings {
    pub(super) profile: EmbedProfile,
    pub(super) model: String,
    pub(super) base: Url,
    pub(super) connection: Connection,
    /// How long a vector is to be, where the configuration says.
    pub(super) dimensions: Option<usize>,
    /// Whether texts are cut, where a request does not say.
    pub(super) truncate: bool,
    /// Fields of the vendor's own that go with every request.
    pub(super) extra: Extra,
    /// How long the vectors of this model were in the first answer.
    pub(super) learned: OnceLock<usize>,
}

impl Embedder for HttpEmbedder {
    fn info(&self) -> EmbedderInfo {
        let settings = &self.0;
        EmbedderInfo {
            provider: settings.profile.otel_name.to_owned(),
            model: settings.model.clone(),
            dimensions: settings.dimensions.or_else(|| settings.known(&settings.model)),
        }
    }

    fn embed(&self, request: Arc<EmbedRequest>, cx: CallContext) -> BoxFuture<'static, Result<Embeddings>> {
        let settings = Arc::clone(&self.0);
        Box::pin(async move { embed(&settings, &request, &cx).await })
    }
}

impl fmt::Debug for HttpEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpEmbedder")
            .field("provider", &self.0.profile.name)
            .field("model", &self.0.model)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// Returns how long a model's own vectors are, where it is known.
    fn known(&self, model: &str) -> Option<usize> {
        let learned = || (model == self.model).then(|| self.learned.get().copied()).flatten();
        self.profile.dimensions_of(model).or_else(learned)
    }

    /// Fills a request with what is configured.
    fn filled(&self, request: &EmbedRequest) -> EmbedRequest {
        let mut extra = self.extra.clone();
        extra.extend(request.extra.clone());
        EmbedRequest {
            texts: Vec::new(),
            kind: request.kind,
            model: Some(request.model.clone().unwrap_or_else(|| self.model.clone())),
            dimensions: request.dimensions.or(self.dimensions),
            truncate: Some(request.truncate.unwrap_or(self.truncate)),
            extra,
        }
    }
}

async fn embed(settings: &Settings, request: &EmbedRequest, cx: &CallContext) -> Result<Embeddings> {
    let named = |error: Error| error.with_op(OP).with("provider", settings.profile.otel_name);
    request.check().map_err(named)?;
    if request.texts.is_empty() {
        return Ok(Embeddings::default());
    }
    let filled = settings.filled(request);
    let calls = batches(&settings.profile, &request.texts).into_iter().map(|range| {
        let (filled, texts) = (&filled, &request.texts);
        async move { call(settings, filled, texts, range, cx).await }
    });
    let mut answers = stream::iter(calls).buffered(BATCHES_AT_ONCE);
    let mut whole = Embeddings::default();
    while let Some(answer) = answers.next().await {
        let answer = answer?;
        whole.vectors.extend(answer.vectors);
        whole.usage += answer.usage;
        whole.calls.extend(answer.calls);
    }
    drop(answers);
    let model = filled.model.as_deref().unwrap_or_default();
    let wanted = filled.dimensions.or_else(|| settings.known(model));
    let length = vector::check(&whole.vectors, request.texts.len(), wanted).map_err(named)?;
    if filled.dimensions.is_none() && model == settings.model {
        // Two first answers agree, or the second is checked against this one.
        settings.learned.get_or_init(|| length);
    }
    Ok(whole)
}

/// Embeds the texts of one batch.
async fn call(
    settings: &Settings,
    request: &EmbedRequest,
    texts: &[String],
    range: Range<usize>,
    cx: &CallContext,
) -> Result<Embeddings> {
    let named = |error: Error| error.with_op(OP).with("provider", settings.profile.otel_name);
    let model = request.model.as_deref().unwrap_or(&settings.model);
    let texts = texts.get(range).unwrap_or_default();
    let posted = Posted {
        op: OP,
        url: below(&settings.base, &settings.profile.path(model)),
        body: settings.profile.encode_batch(model, request, texts),
    };
    let body = settings.connection.post(posted, cx).await?;
    let mut answer = settings.profile.decode(&body).map_err(named)?;
    vector::check(&answer.vectors, texts.len(), request.dimensions.or_else(|| settings.known(model))).map_err(named)?;
    if settings.profile.normalises_shortened && request.dimensions.is_some() {
        answer.vectors.iter_mut().for_each(|vector| vector::normalise(vector));
    }
    Ok(answer)
}
