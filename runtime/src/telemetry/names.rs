//! The names of spans, attributes and metrics: the only place where they are written.
//!
//! Source: OpenTelemetry semantic conventions for generative AI, development status, read 2026-11
//! (<https://opentelemetry.io/docs/specs/semconv/gen-ai/>), and our own names where it has none. Names from version 1.41
//! that were replaced since stand in [`legacy`], for `OTEL_SEMCONV_STABILITY_OPT_IN`.

/// Values of [`attribute::OPERATION_NAME`]; a span is named `{operation} {subject}`.
pub mod operation {
    /// A model answers a conversation.
    pub const CHAT: &str = "chat";
    /// A model makes vectors.
    pub const EMBEDDINGS: &str = "embeddings";
    /// An agent is defined.
    pub const CREATE_AGENT: &str = "create_agent";
    /// An agent runs a turn.
    pub const INVOKE_AGENT: &str = "invoke_agent";
    /// A workflow runs.
    pub const INVOKE_WORKFLOW: &str = "invoke_workflow";
    /// A planner decides.
    pub const PLAN: &str = "plan";
    /// A tool runs.
    pub const EXECUTE_TOOL: &str = "execute_tool";
    /// A retriever searches.
    pub const RETRIEVAL: &str = "retrieval";
    /// A memory is searched.
    pub const SEARCH_MEMORY: &str = "search_memory";
    /// A memory is written.
    pub const UPSERT_MEMORY: &str = "upsert_memory";
    /// A memory is forgotten.
    pub const DELETE_MEMORY: &str = "delete_memory";
    /// Our own: a memory brings what belongs in the prompt.
    pub const LOAD_MEMORY: &str = "load_memory";
}

/// Attributes of spans and metrics.
pub mod attribute {
    /// What is done; see [`operation`](super::operation).
    pub const OPERATION_NAME: &str = "gen_ai.operation.name";
    /// The vendor: `openai`, `anthropic`, `groq`, `deepseek`, …; own names for others.
    pub const PROVIDER_NAME: &str = "gen_ai.provider.name";
    /// The model asked for.
    pub const REQUEST_MODEL: &str = "gen_ai.request.model";
    /// Whether a stream was asked for.
    pub const REQUEST_STREAM: &str = "gen_ai.request.stream";
    /// The limit of output tokens asked for.
    pub const REQUEST_MAX_TOKENS: &str = "gen_ai.request.max_tokens";
    /// The temperature asked for.
    pub const REQUEST_TEMPERATURE: &str = "gen_ai.request.temperature";
    /// The nucleus asked for.
    pub const REQUEST_TOP_P: &str = "gen_ai.request.top_p";
    /// The reasoning effort asked for.
    pub const REQUEST_REASONING_LEVEL: &str = "gen_ai.request.reasoning.level";
    /// The vendor's id of the answer.
    pub const RESPONSE_ID: &str = "gen_ai.response.id";
    /// The model that answered.
    pub const RESPONSE_MODEL: &str = "gen_ai.response.model";
    /// Why the answer ended.
    pub const RESPONSE_FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
    /// Seconds to the first chunk.
    pub const RESPONSE_TIME_TO_FIRST_CHUNK: &str = "gen_ai.response.time_to_first_chunk";
    /// Tokens read.
    pub const USAGE_INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
    /// Tokens written.
    pub const USAGE_OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
    /// Tokens read from the vendor's cache.
    pub const USAGE_CACHE_READ_TOKENS: &str = "gen_ai.usage.cache_read.input_tokens";
    /// Tokens written to the vendor's cache.
    pub const USAGE_CACHE_WRITE_TOKENS: &str = "gen_ai.usage.cache_write.input_tokens";
    /// Tokens of reasoning within those written.
    pub const USAGE_REASONING_TOKENS: &str = "gen_ai.usage.reasoning.output_tokens";
    /// The session.
    pub const CONVERSATION_ID: &str = "gen_ai.conversation.id";
    /// Whether the history was shortened for this call.
    pub const CONVERSATION_COMPACTED: &str = "gen_ai.conversation.compacted";
    /// The agent's id.
    pub const AGENT_ID: &str = "gen_ai.agent.id";
    /// The agent's name.
    pub const AGENT_NAME: &str = "gen_ai.agent.name";
    /// The agent's version.
    pub const AGENT_VERSION: &str = "gen_ai.agent.version";
    /// The tool's name.
    pub const TOOL_NAME: &str = "gen_ai.tool.name";
    /// The tool's type: `function`, `extension`, `datastore`.
    pub const TOOL_TYPE: &str = "gen_ai.tool.type";
    /// The call's id.
    pub const TOOL_CALL_ID: &str = "gen_ai.tool.call.id";
    /// The type of token a metric counts.
    pub const TOKEN_TYPE: &str = "gen_ai.token.type";

    /// Content, recorded only by opt-in: system instructions.
    pub const SYSTEM_INSTRUCTIONS: &str = "gen_ai.system_instructions";
    /// Content, recorded only by opt-in: messages sent.
    pub const INPUT_MESSAGES: &str = "gen_ai.input.messages";
    /// Content, recorded only by opt-in: messages received.
    pub const OUTPUT_MESSAGES: &str = "gen_ai.output.messages";
    /// Content, recorded only by opt-in: the tools offered.
    pub const TOOL_DEFINITIONS: &str = "gen_ai.tool.definitions";
    /// Content, recorded only by opt-in: a tool's arguments.
    pub const TOOL_CALL_ARGUMENTS: &str = "gen_ai.tool.call.arguments";
    /// Content, recorded only by opt-in: a tool's result.
    pub const TOOL_CALL_RESULT: &str = "gen_ai.tool.call.result";

    /// The code of the error that ended the span.
    pub const ERROR_TYPE: &str = "error.type";
    /// The host called.
    pub const SERVER_ADDRESS: &str = "server.address";
    /// The port called.
    pub const SERVER_PORT: &str = "server.port";

    /// Our own: the tenant.
    pub const TENANT_ID: &str = "tenant.id";
    /// Our own: the tenant's service tier.
    pub const TENANT_TIER: &str = "tenant.tier";
    /// Our own: the agent as the tree knows it.
    pub const LOCAL_AGENT_ID: &str = "agent.id";
    /// Our own: the planner that runs the turn.
    pub const AGENT_PLANNER: &str = "agent.planner";
    /// Our own: the tier of memory, `core` or `recall`.
    pub const MEMORY_TIER: &str = "memory.tier";
    /// Our own: the turn.
    pub const TURN_ID: &str = "turn.id";
    /// Our own: the request from outside.
    pub const REQUEST_ID: &str = "request.id";
    /// Our own: which try of a call this is, from 1.
    pub const TRY_NUMBER: &str = "try.number";
}

/// Fields that make a `tracing` span a hop; not attributes.
pub mod field {
    /// 32 hexadecimal digits.
    pub const TRACE_ID: &str = "trace_id";
    /// 16 hexadecimal digits.
    pub const SPAN_ID: &str = "span_id";
    /// 16 hexadecimal digits; all zero at the root.
    pub const PARENT_SPAN_ID: &str = "parent_span_id";
    /// The exported name of the span.
    pub const OTEL_NAME: &str = "otel.name";
    /// `internal`, `client`, `server`, `producer` or `consumer`.
    pub const OTEL_KIND: &str = "otel.kind";
    /// `ERROR` if the hop failed.
    pub const OTEL_STATUS_CODE: &str = "otel.status_code";
    /// Why it failed, without content.
    pub const OTEL_STATUS_DESCRIPTION: &str = "otel.status_description";
}

/// Metrics. Durations in seconds.
pub mod metric {
    /// Duration of a model call.
    pub const INFERENCE_DURATION: &str = "gen_ai.client.inference.duration";
    /// Time to its first chunk.
    pub const INFERENCE_TIME_TO_FIRST_CHUNK: &str = "gen_ai.client.inference.time_to_first_chunk";
    /// Time between its chunks.
    pub const INFERENCE_TIME_PER_OUTPUT_CHUNK: &str = "gen_ai.client.inference.time_per_output_chunk";
    /// Tokens read, a counter.
    pub const INFERENCE_INPUT_TOKENS: &str = "gen_ai.client.inference.usage.input_tokens";
    /// Tokens written, a counter.
    pub const INFERENCE_OUTPUT_TOKENS: &str = "gen_ai.client.inference.usage.output_tokens";
    /// Duration of operations that are no inference.
    pub const OPERATION_DURATION: &str = "gen_ai.client.operation.duration";
    /// Duration of a turn.
    pub const INVOKE_AGENT_DURATION: &str = "gen_ai.invoke_agent.duration";
    /// Duration of a tool call.
    pub const EXECUTE_TOOL_DURATION: &str = "gen_ai.execute_tool.duration";
    /// Duration of a workflow.
    pub const WORKFLOW_DURATION: &str = "gen_ai.workflow.duration";

    /// Bucket bounds of durations, in seconds.
    pub const DURATION_BUCKETS_SECONDS: [f64; 14] =
        [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
    /// Bucket bounds of token counts.
    pub const TOKEN_BUCKETS: [u32; 14] =
        [1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864];
}

/// Names of version 1.41 and before.
pub mod legacy {
    /// Was [`attribute::USAGE_CACHE_WRITE_TOKENS`](super::attribute::USAGE_CACHE_WRITE_TOKENS).
    pub const USAGE_CACHE_CREATION_TOKENS: &str = "gen_ai.usage.cache_creation.input_tokens";
    /// Was the token counters, as one histogram.
    pub const TOKEN_USAGE: &str = "gen_ai.client.token.usage";
    /// Was [`metric::INFERENCE_DURATION`](super::metric::INFERENCE_DURATION).
    pub const OPERATION_DURATION: &str = "gen_ai.client.operation.duration";
}
