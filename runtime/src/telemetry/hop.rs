//! One hop: the span of a call from one actor to the next, with its parent taken from the call's context.

use std::fmt;

use beluga_core::{CallContext, Error, TraceContext};
use tracing::Span;

use super::names::{attribute, field};
use crate::random::SystemRandom;

/// The target of every hop span; an exporter looks at no others.
pub const HOP_TARGET: &str = "beluga::hop";

/// Who is on the other side of a hop.
///
/// See [`hop!`](crate::hop) for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HopKind {
    /// Work inside this system.
    Internal,
    /// A call to a vendor or another node.
    Client,
    /// A call that came from outside.
    Server,
}

impl HopKind {
    /// Returns the value of `otel.kind`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            HopKind::Internal => "internal",
            HopKind::Client => "client",
            HopKind::Server => "server",
        }
    }
}

/// The ids of a span about to be opened.
///
/// See [`hop!`](crate::hop) for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Names the span: what its children carry as their trace context.
    pub trace: TraceContext,
    /// The id of the parent span; 0 at the root of a trace.
    pub parent: u64,
}

impl Identity {
    /// Returns the identity of a call made in this context. Without sampling it is that of the caller, unchanged.
    #[inline]
    #[must_use]
    pub fn child_of(context: &CallContext, random: &SystemRandom) -> Self {
        let trace = context.trace();
        if trace.is_sampled() {
            let span_id = random.next_u64().max(1);
            return Self { trace: TraceContext { span_id, ..trace }, parent: trace.span_id };
        }
        Self { trace, parent: 0 }
    }

    /// Returns whether a span is to be recorded.
    #[inline]
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.trace.is_sampled()
    }

    /// Returns the context with this identity as the trace parent of what is called next.
    #[inline]
    #[must_use]
    pub fn apply(&self, context: CallContext) -> CallContext {
        if context.trace() == self.trace { context } else { context.with_trace(self.trace) }
    }
}

/// The recording of one hop; ends when it drops. Of an unsampled call it is empty, and all its methods do nothing.
///
/// Made by [`hop!`](crate::hop).
///
/// See [`hop!`](crate::hop) for an example.
#[derive(Debug, Clone)]
pub struct Hop(Option<Span>);

impl Hop {
    /// Returns the hop of a call that is not recorded.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn new(span: Span) -> Self {
        Self(Some(span))
    }

    /// Returns whether it is recorded.
    #[must_use]
    pub const fn is_recording(&self) -> bool {
        self.0.is_some()
    }

    /// Sets an attribute that was declared when the hop was opened (`{ NAME } = tracing::field::Empty`).
    pub fn record(&self, name: &str, value: impl tracing::Value) {
        if let Some(span) = &self.0 {
            span.record(name, value);
        }
    }

    /// Marks the hop as failed: the code, and the message, which carries no content by the rule of errors.
    pub fn fail(&self, error: &Error) {
        if let Some(span) = &self.0 {
            span.record(attribute::ERROR_TYPE, error.code().as_str());
            span.record(field::OTEL_STATUS_CODE, "ERROR");
            span.record(field::OTEL_STATUS_DESCRIPTION, error.message());
        }
    }

    /// Runs `work` inside the span, so that events in it are shown under it. Never across an await.
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(span) => span.in_scope(work),
            None => work(),
        }
    }

    /// Returns the span, for `Instrument`; a disabled one if nothing is recorded.
    #[must_use]
    pub fn span(&self) -> Span {
        self.0.clone().unwrap_or_else(Span::none)
    }
}

/// A trace id as 32 hexadecimal digits.
///
/// ```
/// use beluga_runtime::telemetry::{SpanHex, TraceHex};
///
/// assert_eq!(TraceHex(255).to_string(), "000000000000000000000000000000ff");
/// assert_eq!(SpanHex(255).to_string(), "00000000000000ff");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceHex(pub u128);

impl fmt::Display for TraceHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A span id as 16 hexadecimal digits.
///
/// See [`TraceHex`] for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanHex(pub u64);

impl fmt::Display for SpanHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Returns the ids for a log line about a call; all zero without a trace.
///
/// ```
/// use beluga_core::CallContext;
/// use beluga_runtime::telemetry::log_ids;
///
/// let call = CallContext::new();
/// let (trace_id, span_id) = log_ids(&call);
/// tracing::info!(%trace_id, %span_id, "a turn began");
/// ```
#[must_use]
pub fn log_ids(context: &CallContext) -> (TraceHex, SpanHex) {
    let trace = context.trace();
    (TraceHex(trace.trace_id), SpanHex(trace.span_id))
}

/// Returns the request id for a log line or a span about a call; `None` records nothing.
///
/// ```
/// use beluga_core::{CallContext, RequestId};
/// use beluga_runtime::telemetry::request_id;
///
/// let call = CallContext::new().with_request_id(RequestId::parse("req-7")?);
/// assert_eq!(request_id(&call), Some("req-7"));
/// assert_eq!(request_id(&CallContext::new()), None);
/// # Ok::<(), beluga_core::Error>(())
/// ```
#[must_use]
pub fn request_id(context: &CallContext) -> Option<&str> {
    context.request_id().map(beluga_core::RequestId::as_str)
}

/// Opens the span of one hop and gives the context for what is called within it: `(CallContext, Hop)`.
///
/// Arguments: the caller's context (by value), the span's [`Identity`], its [`HopKind`], its exported name, then fields
/// as in `tracing`'s macros. Name and fields are evaluated only if the call is sampled. Fields that become known later
/// are declared with `tracing::field::Empty`; `error.type` and the status always are. At most 21 fields (`tracing` allows
/// 32 and the hop has 11).
///
/// ```
/// use beluga_core::CallContext;
/// use beluga_runtime::telemetry::{HopKind, Identity, Sampler, names::attribute};
/// use beluga_runtime::{SystemRandom, hop};
///
/// let random = SystemRandom::seeded(1);
/// let root = Sampler::new(1.0).start(None, &random);
/// let (call, request) = hop!(CallContext::new(), root, HopKind::Server, "POST /invoke");
/// let child = Identity::child_of(&call, &random);
/// let (_call, tool) = hop!(call, child, HopKind::Internal, format!("execute_tool {}", "clock"),
///     { attribute::TOOL_NAME } = "clock", { attribute::TOOL_CALL_ID } = tracing::field::Empty);
/// tool.record(attribute::TOOL_CALL_ID, "call-1");
/// assert!(request.is_recording() && tool.is_recording());
/// assert_eq!(child.parent, root.trace.span_id);
/// ```
#[macro_export]
macro_rules! hop {
    ($context:expr, $identity:expr, $kind:expr, $name:expr $(, $($fields:tt)*)?) => {{
        let identity: $crate::telemetry::Identity = $identity;
        let context = identity.apply($context);
        if identity.is_sampled() {
            let span = $crate::telemetry::tracing::info_span!(
                target: $crate::telemetry::HOP_TARGET,
                parent: None,
                "hop",
                { $crate::telemetry::names::field::OTEL_NAME } = %$name,
                { $crate::telemetry::names::field::OTEL_KIND } = $crate::telemetry::HopKind::as_str($kind),
                { $crate::telemetry::names::field::TRACE_ID } =
                    %$crate::telemetry::TraceHex(identity.trace.trace_id),
                { $crate::telemetry::names::field::SPAN_ID } = %$crate::telemetry::SpanHex(identity.trace.span_id),
                { $crate::telemetry::names::field::PARENT_SPAN_ID } = %$crate::telemetry::SpanHex(identity.parent),
                { $crate::telemetry::names::attribute::TENANT_ID } = context.tenant().as_str(),
                { $crate::telemetry::names::attribute::TENANT_TIER } = context.tier(),
                { $crate::telemetry::names::attribute::REQUEST_ID } = $crate::telemetry::request_id(&context),
                { $crate::telemetry::names::attribute::ERROR_TYPE } = $crate::telemetry::tracing::field::Empty,
                { $crate::telemetry::names::field::OTEL_STATUS_CODE } = $crate::telemetry::tracing::field::Empty,
                { $crate::telemetry::names::field::OTEL_STATUS_DESCRIPTION } =
                    $crate::telemetry::tracing::field::Empty,
                $($($fields)*)?
            );
            (context, $crate::telemetry::Hop::new(span))
        } else {
            (context, $crate::telemetry::Hop::none())
        }
    }};
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing::field::{Field, Visit};
    use tracing::span;

    use super::*;
    use crate::telemetry::Sampler;

    /// The spans a test made: their fields, in the order of opening.
    #[derive(Clone, Default)]
    pub(crate) struct Spans(Arc<Mutex<Vec<BTreeMap<String, String>>>>);

    impl Spans {
        pub(crate) fn all(&self) -> Vec<BTreeMap<String, String>> {
            self.0.lock().clone()
        }
    }

    struct Fields<'a>(&'a mut BTreeMap<String, String>);

    impl Visit for Fields<'_> {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            self.0.insert(field.name().to_owned(), format!("{value:?}"));
        }

        fn record_str(&mut self, field: &Field, value: &str) {
            self.0.insert(field.name().to_owned(), value.to_owned());
        }
    }

    impl tracing::Subscriber for Spans {
        fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
            metadata.target() == HOP_TARGET
        }

        fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
            let mut fields = BTreeMap::new();
            attributes.record(&mut Fields(&mut fields));
            assert!(attributes.is_root(), "a hop has no ambient parent");
            let mut spans = self.0.lock();
            spans.push(fields);
            span::Id::from_u64(spans.len() as u64)
        }

        fn record(&self, id: &span::Id, values: &span::Record<'_>) {
            let index = usize::try_from(id.into_u64()).unwrap() - 1;
            values.record(&mut Fields(&mut self.0.lock()[index]));
        }

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn event(&self, _: &tracing::Event<'_>) {}
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    fn sampled(random: &SystemRandom) -> CallContext {
        Sampler::new(1.0).start(None, random).apply(CallContext::new())
    }

    #[test]
    fn parallel_calls_are_children_of_the_caller_and_not_of_each_other() {
        let (spans, random) = (Spans::default(), SystemRandom::seeded(1));
        tracing::subscriber::with_default(spans.clone(), || {
            let turn = sampled(&random);
            let open =
                |name: &'static str| hop!(turn.clone(), Identity::child_of(&turn, &random), HopKind::Internal, name);
            let (_first, one) = open("one");
            // The ambient span is another one while the second opens.
            let (_second, two) = one.within(|| open("two"));
            drop((one, two));
            for span in spans.all() {
                assert_eq!(span["parent_span_id"], SpanHex(turn.trace().span_id).to_string());
                assert_eq!(span["trace_id"], TraceHex(turn.trace().trace_id).to_string());
            }
        });
        let ids: std::collections::BTreeSet<_> = spans.all().iter().map(|span| span["span_id"].clone()).collect();
        assert_eq!(ids.len(), 2);
    }

    #[test]
    fn a_chain_of_hops_links_each_to_the_one_before() {
        let (spans, random) = (Spans::default(), SystemRandom::seeded(1));
        tracing::subscriber::with_default(spans.clone(), || {
            let mut context = CallContext::new();
            let mut identity = Sampler::new(1.0).start(None, &random);
            for _ in 0..3 {
                let hop;
                (context, hop) = hop!(context, identity, HopKind::Client, "call");
                hop.fail(&Error::timeout("too slow"));
                identity = Identity::child_of(&context, &random);
            }
        });
        let spans = spans.all();
        assert_eq!(spans[0]["parent_span_id"], "0000000000000000", "the root has no parent");
        assert_eq!(spans[1]["parent_span_id"], spans[0]["span_id"]);
        assert_eq!(spans[2]["parent_span_id"], spans[1]["span_id"]);
        assert_eq!((spans[2]["error.type"].as_str(), spans[2]["otel.kind"].as_str()), ("timeout", "client"));
    }

    #[test]
    fn an_unsampled_call_makes_no_span_and_keeps_its_context() {
        let (spans, random) = (Spans::default(), SystemRandom::seeded(1));
        tracing::subscriber::with_default(spans.clone(), || {
            let silent = Sampler::new(0.0).start(None, &random).apply(CallContext::new());
            let identity = Identity::child_of(&silent, &random);
            let unreachable = || -> &'static str { panic!("the name is not built") };
            let (same, hop) = hop!(silent.clone(), identity, HopKind::Internal, unreachable());
            hop.record("gen_ai.tool.name", "clock");
            assert!(!hop.is_recording());
            assert_eq!(same.trace(), silent.trace());
        });
        assert!(spans.all().is_empty());
    }
}
