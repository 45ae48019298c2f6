//! Tracing with explicit parents: spans of hops between actors, and the one table of their names.
//!
//! **Identity.** The W3C ids that travel in a [`CallContext`](beluga_core::CallContext) are the truth. A face makes the
//! root with a [`Sampler`]; each [`hop!`](crate::hop) derives a child from the context it is given and hands back the
//! context to pass on. So a span's parent is whoever made the call, also when tools run in parallel, a stream is polled
//! from another task, or the call came from another node. The ambient span of `tracing` is never a parent.
//!
//! **Export.** A hop is a plain `tracing` span with the target [`HOP_TARGET`], no `tracing` parent, and the fields
//! `trace_id`, `span_id`, `parent_span_id`, `otel.name`, `otel.kind`, and later `error.type`, `otel.status_code` and
//! `otel.status_description`; every other field is an attribute. An exporter is a `tracing` layer that reads these
//! fields, with our ids: no OpenTelemetry type is known here, and with no exporter nothing is lost but the export. (The
//! bridge crate `tracing-opentelemetry` makes its own ids from the ambient span, which is what must not happen.)
//!
//! **Cost.** A call that is not sampled makes no span and no new context: one test of two ids and a flag.
//!
//! **Logs.** Whoever logs about a call adds `trace_id` and `span_id` with [`log_ids`] and `request_id` with
//! [`request_id`]; it works for unsampled calls too.
//!
//! Not here: content (never recorded unless a room opts in), metrics, the exporter itself.

mod guard;
mod hop;
pub mod names;
mod sampler;

pub use guard::HopGuard;
pub use hop::{HOP_TARGET, Hop, HopKind, Identity, SpanHex, TraceHex, log_ids, request_id};
pub use sampler::Sampler;

#[doc(hidden)]
pub use tracing;

#[cfg(test)]
pub(crate) use hop::tests;
