//! A model with an application's own middleware round it, without an actor.

use std::fmt;
use std::sync::Arc;

use beluga_core::{BoxStream, CallContext, ChatModel, ModelChunk, ModelInfo, ModelRequest, Result};
use beluga_runtime::service::{SharedService, layered};

use super::observe::ModelService;
use super::policy::ModelLayer;

/// A model with layers round it: for models that are not supervised, or a whole [`FallbackModel`](super::FallbackModel).
/// A supervised model takes its layers in its [`ModelPolicy`](super::ModelPolicy).
pub struct LayeredModel {
    info: ModelInfo,
    layers: usize,
    service: SharedService<Arc<ModelRequest>, ModelChunk>,
}

impl LayeredModel {
    /// Puts layers round a model; the first is the outermost.
    #[must_use]
    pub fn new(model: impl ChatModel, layers: &[ModelLayer]) -> Self {
        let info = model.info();
        let inner: SharedService<_, _> = Arc::new(ModelService(Arc::new(model)));
        Self { info, layers: layers.len(), service: layered(inner, layers) }
    }
}

impl ChatModel for LayeredModel {
    fn info(&self) -> ModelInfo {
        self.info.clone()
    }

    fn stream(&self, request: Arc<ModelRequest>, cx: CallContext) -> BoxStream<'static, Result<ModelChunk>> {
        self.service.call(request, cx)
    }
}

impl fmt::Debug for LayeredModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayeredModel").field("info", &self.info).field("layers", &self.layers).finish_non_exhaustive()
    }
}
