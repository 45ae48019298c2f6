//! Words and contracts of Beluga: what every other crate agrees on.
//!
//! Here live identities, the call context, messages and their content, public events, the error type, and one contract
//! trait per file. Nothing here does I/O, reads a clock, spawns, or knows a vendor; there is no tokio in this crate.
//! Whoever implements a contract depends on this crate only.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod cancel;
mod context;
mod error;
mod host;
mod id;
mod trace;

pub use cancel::{CancelToken, Cancelled};
pub use context::{CallContext, HOPS_MAX};
pub use error::{Code, Error, ErrorRecord, PARTIAL, Problem, Result, Retry};
pub use host::Host;
pub use id::{AgentName, CallId, ID_MAX_BYTES, MessageId, ProviderName, SessionId, Tenant, TenantId, ToolName, TurnId};
pub use trace::TraceContext;

pub use futures_core::future::BoxFuture;
pub use futures_core::stream::BoxStream;
