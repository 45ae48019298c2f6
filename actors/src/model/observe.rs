//! The span of one inference, and the adapter from a model to a service.

use std::sync::Arc;
use std::time::Duration;

use beluga_core::{BoxStream, CallContext, ChatModel, FinishReason, ModelChunk, ModelInfo, ModelRequest, Result};
use beluga_runtime::hop;
use beluga_runtime::service::{Observe, Service};
use beluga_runtime::telemetry::names::{attribute, operation};
use beluga_runtime::telemetry::{Hop, HopKind, Identity};
use tracing::field::Empty;

/// A model as the innermost service.
pub(crate) struct ModelService(pub(crate) Arc<dyn ChatModel>);

impl Service<Arc<ModelRequest>> for ModelService {
    type Item = ModelChunk;

    fn call(&self, request: Arc<ModelRequest>, context: CallContext) -> BoxStream<'static, Result<ModelChunk>> {
        self.0.stream(request, context)
    }
}

/// Records each try of a model as a `chat` span.
pub(crate) struct ChatSpan(pub(crate) ModelInfo);

impl Observe<Arc<ModelRequest>, ModelChunk> for ChatSpan {
    fn open(&self, request: &Arc<ModelRequest>, context: CallContext, identity: Identity) -> (CallContext, Hop) {
        let model = request.options.model.as_deref().unwrap_or(&self.0.model);
        hop!(
            context,
            identity,
            HopKind::Client,
            format!("{} {model}", operation::CHAT),
            { attribute::OPERATION_NAME } = operation::CHAT,
            { attribute::PROVIDER_NAME } = self.0.provider.as_str(),
            { attribute::REQUEST_MODEL } = model,
            { attribute::REQUEST_STREAM } = true,
            { attribute::RESPONSE_ID } = Empty,
            { attribute::RESPONSE_MODEL } = Empty,
            { attribute::RESPONSE_FINISH_REASONS } = Empty,
            { attribute::RESPONSE_TIME_TO_FIRST_CHUNK } = Empty,
            { attribute::USAGE_INPUT_TOKENS } = Empty,
            { attribute::USAGE_OUTPUT_TOKENS } = Empty,
            { attribute::USAGE_CACHE_READ_TOKENS } = Empty,
            { attribute::USAGE_REASONING_TOKENS } = Empty
        )
    }

    fn item(&self, hop: &Hop, item: &ModelChunk, elapsed: Duration) {
        match item {
            ModelChunk::Started { id, model } => {
                if let Some(id) = id {
                    hop.record(attribute::RESPONSE_ID, id.as_str());
                }
                if let Some(model) = model {
                    hop.record(attribute::RESPONSE_MODEL, model.as_str());
                }
                hop.record(attribute::RESPONSE_TIME_TO_FIRST_CHUNK, elapsed.as_secs_f64());
            }
            ModelChunk::Usage(usage) => {
                hop.record(attribute::USAGE_INPUT_TOKENS, usage.input_tokens);
                hop.record(attribute::USAGE_OUTPUT_TOKENS, usage.output_tokens);
                hop.record(attribute::USAGE_CACHE_READ_TOKENS, usage.cached_tokens);
                hop.record(attribute::USAGE_REASONING_TOKENS, usage.reasoning_tokens);
            }
            ModelChunk::Finished { reason, .. } => hop.record(attribute::RESPONSE_FINISH_REASONS, reason_text(reason)),
            _ => {}
        }
    }
}

fn reason_text(reason: &FinishReason) -> &str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::Other(text) => text,
    }
}
