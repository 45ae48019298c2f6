//! Messages that were not handled, and why: counters per reason, a bounded ring of the recent ones, a feed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use beluga_core::MessageId;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::broadcast;

use crate::message::Lane;

/// How many recent dead letters a system keeps unless told otherwise.
pub const DEAD_LETTER_CAPACITY: usize = 1024;

/// How many dead letters a slow subscriber may lag behind before it loses the oldest.
const FEED_CAPACITY: usize = 256;

/// Why a message was not handled, or not to its end.
///
/// See [`DeadLetters`] for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeadReason {
    /// The handler panicked on it.
    Panicked,
    /// The actor was killed, or given up, with it in hand.
    Abandoned,
    /// Its deadline passed, or its call was cancelled, while it waited.
    Expired,
    /// The lane was full and its policy dropped it.
    Overflow,
    /// The actor ended with it in the queue, or before it came.
    Stopped,
    /// A timer's message met a later incarnation.
    Stale,
    /// The test kit lost it.
    Lost,
}

impl DeadReason {
    const COUNT: usize = 7;
}

/// One message that was not handled.
///
/// See [`DeadLetters`] for an example.
#[derive(Debug, Clone, Serialize)]
pub struct DeadLetter {
    /// Why.
    pub reason: DeadReason,
    /// The message's stable name.
    pub message: &'static str,
    /// Its id, if the call had one.
    pub id: Option<MessageId>,
    /// The actor it was meant for.
    pub actor: Arc<str>,
    /// The actor that sent it, if one did and still lives.
    pub sender: Option<Arc<str>>,
    /// Its lane.
    pub lane: Lane,
    /// How long it had waited, to the precision of the system's coarse clock.
    pub age: Duration,
    /// The tenant of the call.
    pub tenant: String,
    /// The trace of the call, as `traceparent`.
    pub trace: Option<String>,
    /// The text of the panic.
    pub panic: Option<Arc<str>>,
    /// The payload's text, only for types that opted in with `keep`.
    pub payload: Option<String>,
}

/// The dead letters of one system. A clone is the same collection.
///
/// ```
/// # use beluga_runtime::DeadReason;
/// # use beluga_core::Result;
/// # use beluga_runtime::{Actor, Cx, Handler, Message, protocol};
/// # #[derive(Message)]
/// # #[message(name = "counter.add", reply = u64)]
/// # struct Add(u64);
/// # protocol!(CounterProtocol: Add);
/// # #[derive(Default)]
/// # struct Counter { total: u64 }
/// # impl Actor for Counter { type Protocol = CounterProtocol; const KIND: &'static str = "counter"; }
/// # impl Handler<Add> for Counter {
/// #     async fn handle(&mut self, Add(n): Add, _cx: &mut Cx<Self>) -> Result<u64> {
/// #         self.total += n;
/// #         Ok(self.total)
/// #     }
/// # }
/// # beluga_runtime::testkit::run(1, |system| async move {
/// let counter = system.spawn("counter", Counter::default).await?;
/// counter.stop();
/// counter.address()?.gone().await;
/// assert!(counter.tell(Add(1)).await.is_err());
///
/// let letters = system.dead_letters();
/// assert_eq!((letters.total(), letters.count(DeadReason::Stopped)), (1, 1));
/// let letter = &letters.recent()[0];
/// assert_eq!((&*letter.actor, letter.message), ("counter", "counter.add"));
/// # system.shutdown_gracefully().await
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct DeadLetters(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    capacity: usize,
    ring: Mutex<VecDeque<DeadLetter>>,
    counts: [AtomicU64; DeadReason::COUNT],
    feed: broadcast::Sender<DeadLetter>,
}

impl DeadLetters {
    pub(crate) fn new(capacity: usize) -> Self {
        let (feed, _) = broadcast::channel(FEED_CAPACITY);
        Self(Arc::new(Inner { capacity, ring: Mutex::default(), counts: Default::default(), feed }))
    }

    /// Returns the recent ones, oldest first.
    #[must_use]
    pub fn recent(&self) -> Vec<DeadLetter> {
        self.0.ring.lock().iter().cloned().collect()
    }

    /// Returns how many there were for one reason since the system was built.
    #[must_use]
    pub fn count(&self, reason: DeadReason) -> u64 {
        self.0.counts.get(reason as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Returns how many there were in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Receives every dead letter from now on; who lags behind by more than 256 is told how many it lost.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<DeadLetter> {
        self.0.feed.subscribe()
    }

    pub(crate) fn push(&self, letter: DeadLetter) {
        tracing::debug!(actor = %letter.actor, message = letter.message, reason = ?letter.reason, "dead letter");
        if let Some(count) = self.0.counts.get(letter.reason as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if self.0.feed.receiver_count() > 0 {
            drop(self.0.feed.send(letter.clone()));
        }
        if self.0.capacity == 0 {
            return;
        }
        let mut ring = self.0.ring.lock();
        if ring.len() >= self.0.capacity {
            ring.pop_front();
        }
        ring.push_back(letter);
    }
}
