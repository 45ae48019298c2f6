//! Telling on behalf of a call.

use beluga_core::CallContext;
use beluga_runtime::telemetry::Sampler;
use beluga_runtime::{Ref, SystemRandom};

use super::{Add, Beluga, CounterProtocol};
use crate::peer::Peer;

/// Beluga, told with a context: valid ids for the logs, nothing recorded.
pub(crate) struct Contextual {
    beluga: Beluga,
    context: CallContext,
}

impl Contextual {
    /// Makes a system. Called in a runtime.
    pub(crate) fn new() -> Self {
        let context = Sampler::new(0.0).start(None, &SystemRandom::seeded(1)).apply(CallContext::new());
        Self { beluga: Beluga::new(), context }
    }
}

impl Peer for Contextual {
    type Counter = (Ref<CounterProtocol>, CallContext);
    type End = ();

    async fn counter(&self, number: u64) -> (Self::Counter, ()) {
        let (counter, ()) = self.beluga.counter(number).await;
        ((counter, self.context.clone()), ())
    }

    async fn tell((counter, context): &Self::Counter, n: u64) {
        drop(counter.tell_with(Add(n), context).await);
    }

    async fn tell_items((counter, _): &Self::Counter, items: Vec<u64>) {
        Beluga::tell_items(counter, items).await;
    }

    async fn total((counter, _): &Self::Counter) -> u64 {
        Beluga::total(counter).await
    }

    async fn stop((counter, _): Self::Counter, (): ()) {
        Beluga::stop(counter, ()).await;
    }

    async fn bounce(&self, hops: u64) {
        self.beluga.bounce(hops).await;
    }
}
