//! Telling items together that are handled one by one.

use beluga_runtime::Ref;

use super::{Add, Beluga, CounterProtocol};
use crate::peer::Peer;

/// Beluga, told items by `tell_batch`.
pub(crate) struct Batched(Beluga);

impl Batched {
    /// Makes a system. Called in a runtime.
    pub(crate) fn new() -> Self {
        Self(Beluga::new())
    }
}

impl Peer for Batched {
    type Counter = Ref<CounterProtocol>;
    type End = ();

    async fn counter(&self, number: u64) -> (Self::Counter, ()) {
        self.0.counter(number).await
    }

    async fn tell(counter: &Self::Counter, n: u64) {
        Beluga::tell(counter, n).await;
    }

    async fn tell_items(counter: &Self::Counter, items: Vec<u64>) {
        drop(counter.tell_batch(items.into_iter().map(Add).collect()).await);
    }

    async fn total(counter: &Self::Counter) -> u64 {
        Beluga::total(counter).await
    }

    async fn stop(counter: Self::Counter, (): ()) {
        Beluga::stop(counter, ()).await;
    }

    async fn bounce(&self, hops: u64) {
        self.0.bounce(hops).await;
    }
}
