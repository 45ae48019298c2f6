//! Words and contracts of Beluga: what every other crate agrees on.
//!
//! Here live identities, the call context, messages and their content, public events, the error type, and one contract
//! trait per file. Nothing here does I/O, reads a clock, spawns, or knows a vendor; there is no tokio in this crate.
//! Whoever implements a contract depends on this crate only.
#![warn(clippy::print_stdout)] // Libraries do not print; binaries and examples do.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::disallowed_methods
    )
)]

mod answer;
mod budget;
mod cancel;
mod chunk;
mod content;
mod context;
mod embedder;
mod error;
mod event;
mod facts;
mod family;
mod host;
mod id;
mod item;
mod journal;
mod memory;
mod model;
mod notes;
mod options;
mod price;
mod provider;
mod registry;
mod reranker;
mod secret;
mod state;
mod tokenizer;
mod tool;
mod trace;
mod usage;

pub use answer::{AnswerDraft, ModelAnswer};
pub use budget::{Budget, Spend, SpendLimits};
pub use cancel::{CancelToken, Cancelled};
pub use chunk::{FinishReason, ModelChunk};
pub use content::{
    ChatMessage, Detail, Foreign, Media, MediaSource, Part, Role, Thinking, ToolCall, ToolOutcome, ToolResult,
    parse_arguments,
};
pub use context::{CallContext, HOPS_MAX};
pub use embedder::{
    CallNotes, EMBED_MAX_BYTES, EMBED_TEXTS_MAX, EmbedKind, EmbedRequest, Embedder, EmbedderInfo, Embeddings,
};
pub use error::{Code, Error, ErrorRecord, PARTIAL, Problem, Result, Retry};
pub use event::{Event, HandoffMode, Meta, Numbered};
pub use facts::{FactsRow, FactsTable, ModelFacts};
pub use host::Host;
pub use id::{
    AgentName, CallId, ID_MAX_BYTES, MessageId, ProviderName, REQUEST_ID_MAX_BYTES, RequestId, SessionId, TenantId,
    ToolName, TurnId,
};
pub use item::Content;
pub use journal::{Append, GROUP_MAX_BYTES, Group, Journal, Mark, StreamKey, SyncLevel};
pub use memory::{Exchange, Memory, MemoryOwner, MemoryQuery, MessageStore, Recollection};
pub use model::{BoundModel, CacheHints, ChatModel, ModelInfo, ModelRequest, SchemaSupport, StrictSchema};
pub use notes::{AnswerNotes, CacheMark, Citation, Extra, Layout, MessageNotes, PartNotes, ToolNotes};
pub use options::{Effort, GenerateOptions, Reasoning, ResponseFormat, ThinkingSwitch, ToolChoice};
pub use price::{PRICED_TOKENS, Price, PriceRow, PriceTable};
pub use provider::{
    EmbedderFactory, EmbedderRegistry, ModelFactory, ModelRegistry, ProviderConfig, ProviderVariables, RerankerFactory,
    RerankerRegistry,
};
pub use registry::Registry;
pub use reranker::{RERANK_DOCUMENTS_MAX, RERANK_MAX_BYTES, Ranked, Ranking, RerankRequest, Reranker, RerankerInfo};
pub use secrecy::{ExposeSecret, SecretString};
pub use secret::{mask, mask_document};
pub use state::{
    STATE_NAME_MAX_BYTES, STATE_NAME_PREFIX, STATE_VALUE_MAX_BYTES, State, StateAccess, StateKey, StateScope,
    StateStore,
};
pub use tokenizer::{MEDIA_TOKENS, MESSAGE_TOKENS, TokenEstimate, Tokenizer, prompt_tokens};
pub use tool::{Effect, Tool, ToolContext, ToolDefinition, ToolOutput};
pub use trace::{TraceContext, TraceId};
pub use usage::Usage;

pub use futures_core::future::BoxFuture;
pub use futures_core::stream::BoxStream;
