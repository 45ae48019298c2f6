//! Several models as one: the next one is tried when the first cannot answer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use beluga_core::{BoxStream, CallContext, ChatModel, ModelChunk, ModelInfo, ModelRequest, Result};
use beluga_runtime::SystemRandom;
use beluga_runtime::service::{Named, RouterStack, SharedService};

use super::observe::ModelService;

/// Tries models in order. It moves on only on errors another model may not have, and only before the first content.
pub struct FallbackModel {
    info: ModelInfo,
    names: Vec<String>,
    service: SharedService<Arc<ModelRequest>, ModelChunk>,
}

impl FallbackModel {
    /// Puts `others` behind `first`; `total` bounds the whole call.
    #[must_use]
    pub fn new(
        first: (String, Arc<dyn ChatModel>),
        others: Vec<(String, Arc<dyn ChatModel>)>,
        total: Option<Duration>,
        random: &SystemRandom,
    ) -> Self {
        let info = first.1.info();
        let names = std::iter::once(&first).chain(&others).map(|(name, _)| name.clone()).collect();
        let named = |(name, model): (String, Arc<dyn ChatModel>)| Named::new(name, Arc::new(ModelService(model)));
        let stack = RouterStack { total, ..RouterStack::default() };
        let service = stack.stack(named(first), others.into_iter().map(named).collect(), random);
        Self { info, names, service }
    }
}

impl ChatModel for FallbackModel {
    /// Returns what the first model is.
    fn info(&self) -> ModelInfo {
        self.info.clone()
    }

    fn stream(&self, request: Arc<ModelRequest>, cx: CallContext) -> BoxStream<'static, Result<ModelChunk>> {
        self.service.call(request, cx)
    }
}

impl fmt::Debug for FallbackModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackModel").field("names", &self.names).finish_non_exhaustive()
    }
}
