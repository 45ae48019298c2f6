//! Where a turn comes from, and what its events are measured from: both stand in the record of its start.

use beluga_core::{CallContext, Meta, RequestId, TraceContext, TraceId};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Where a turn comes from: what it goes on under after a crash, and what its events are joined by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// The span the turn was asked from, as a `traceparent`.
    #[serde(
        default,
        skip_serializing_if = "no_trace",
        serialize_with = "write_trace",
        deserialize_with = "read_trace"
    )]
    pub(crate) trace: TraceContext,
    /// The request from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<RequestId>,
    /// The tenant's service tier at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tier: Option<String>,
}

impl Origin {
    /// Returns where a call comes from.
    pub(crate) fn of(context: &CallContext) -> Self {
        Self { trace: context.trace(), request: context.request_id().cloned(), tier: context.tier().map(str::to_owned) }
    }

    /// Returns whether nothing is known of it.
    pub(crate) fn is_unknown(&self) -> bool {
        no_trace(&self.trace) && self.request.is_none() && self.tier.is_none()
    }

    /// Returns a context that comes from here.
    pub(crate) fn apply(&self, context: CallContext) -> CallContext {
        let mut context = context.with_trace(self.trace);
        if let Some(tier) = &self.tier {
            context = context.with_tier(tier.as_str());
        }
        match &self.request {
            Some(request) => context.with_request_id(request.clone()),
            None => context,
        }
    }
}

fn no_trace(trace: &TraceContext) -> bool {
    !trace.is_valid()
}

fn write_trace<S: Serializer>(trace: &TraceContext, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(trace)
}

/// Reads a `traceparent`; a malformed one is no trace, and no reason to lose a turn.
fn read_trace<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TraceContext, D::Error> {
    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
    Ok(TraceContext::parse(&text).unwrap_or_default())
}

/// When a turn began and in which trace: with the journal's times this gives every event the same [`Meta`] whenever and
/// by whomever it is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Beginning {
    /// Calendar time, milliseconds since 1970 UTC; 0 before any turn.
    at_ms: u64,
    trace: Option<TraceId>,
}

impl Beginning {
    pub(crate) fn new(at_ms: u64, origin: &Origin) -> Self {
        Self { at_ms, trace: origin.trace.id() }
    }

    /// Returns the meta of an event that happened at a time.
    pub(crate) fn meta_at(self, at_ms: u64) -> Meta {
        // A calendar that was set back in between gives no time, not a wrong one.
        Meta { trace_id: self.trace, latency_ms: at_ms.checked_sub(self.at_ms).filter(|_| self.at_ms > 0) }
    }

    /// Returns the meta of an event that tells the end of something that took so long.
    pub(crate) fn meta_of(self, took_ms: Option<u64>) -> Meta {
        Meta { trace_id: self.trace, latency_ms: took_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_survives_encoding_and_a_malformed_one_is_none() {
        let trace = TraceContext { trace_id: 0xabc, span_id: 0xdef, flags: 1 };
        let origin = Origin { trace, request: Some(RequestId::parse("req/17").unwrap()), tier: Some("gold".into()) };
        let text = serde_json::to_string(&origin).unwrap();
        assert!(text.contains("00-00000000000000000000000000000abc-0000000000000def-01"), "{text}");
        assert_eq!(serde_json::from_str::<Origin>(&text).unwrap(), origin);
        assert!(serde_json::from_str::<Origin>(r#"{"trace":"garbage"}"#).unwrap().is_unknown());
        assert_eq!(serde_json::to_string(&Origin::default()).unwrap(), "{}");
    }

    #[test]
    fn a_calendar_that_was_set_back_gives_no_latency() {
        let beginning = Beginning::new(100, &Origin::default());
        assert_eq!(beginning.meta_at(150).latency_ms, Some(50));
        assert_eq!(beginning.meta_at(50).latency_ms, None);
        assert_eq!(Beginning::default().meta_at(50).latency_ms, None);
    }
}
