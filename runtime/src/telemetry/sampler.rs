//! Whether a new trace is recorded.

use beluga_core::TraceContext;

use super::hop::Identity;
use crate::random::SystemRandom;

/// Decides at the edge of the system, once per trace: everything below follows the flag in the context.
///
/// ```
/// use beluga_runtime::{SystemRandom, telemetry::Sampler};
///
/// let random = SystemRandom::seeded(1);
/// assert!(Sampler::new(1.0).start(None, &random).is_sampled());
/// let silent = Sampler::new(0.0).start(None, &random);
/// assert!(silent.trace.is_valid() && !silent.is_sampled(), "ids for the logs, no spans");
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    ratio: f64,
}

impl Sampler {
    /// Makes a sampler that records this share of new traces, 0 to 1.
    #[must_use]
    pub fn new(ratio: f64) -> Self {
        Self { ratio: if ratio.is_nan() { 0.0 } else { ratio.clamp(0.0, 1.0) } }
    }

    /// Returns the identity of the first span of a call that enters the system.
    ///
    /// A valid `traceparent` of the caller becomes the parent, and its decision is kept. Otherwise a new trace begins;
    /// its ids are valid even if it is not recorded, so that log lines can be joined.
    #[must_use]
    pub fn start(&self, incoming: Option<TraceContext>, random: &SystemRandom) -> Identity {
        let span_id = random.next_u64().max(1);
        if let Some(trace) = incoming.filter(TraceContext::is_valid) {
            return Identity { trace: TraceContext { span_id, ..trace }, parent: trace.span_id };
        }
        let flags = u8::from(random.unit() < self.ratio);
        Identity { trace: TraceContext { trace_id: random.next_u128().max(1), span_id, flags }, parent: 0 }
    }
}

impl Default for Sampler {
    /// Records nothing unless the caller asks for it.
    fn default() -> Self {
        Self::new(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_kept_over_many_traces() {
        let (sampler, random) = (Sampler::new(0.25), SystemRandom::seeded(5));
        let sampled = (0..10_000).filter(|_| sampler.start(None, &random).is_sampled()).count();
        assert!((2_300..2_700).contains(&sampled), "{sampled}");
    }

    #[test]
    fn the_callers_decision_is_respected() {
        let random = SystemRandom::seeded(5);
        let asked = TraceContext { trace_id: 1, span_id: 2, flags: 1 };
        let first = Sampler::new(0.0).start(Some(asked), &random);
        assert!(first.is_sampled());
        assert_eq!((first.trace.trace_id, first.parent), (1, 2));
        let refused = TraceContext { flags: 0, ..asked };
        assert!(!Sampler::new(1.0).start(Some(refused), &random).is_sampled());
        assert_eq!(Sampler::new(1.0).start(Some(TraceContext::default()), &random).parent, 0);
    }
}
