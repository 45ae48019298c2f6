//! One producer, any number of readers that come and go: who is too slow misses items and is told which.

#[cfg(test)]
mod model;
mod ring;
mod sleepers;
#[cfg(test)]
mod tests;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use beluga_core::{Error, Result};
use futures_core::Stream;
use futures_util::StreamExt;
use parking_lot::{Mutex, MutexGuard};
use tokio::task::coop;

use ring::{Next, Ring};

/// How many items a broadcast keeps by default.
pub const BROADCAST_RING: usize = 256;

/// The producer's side of a broadcast: a bounded ring of the newest items, shared by all readers.
///
/// Each item is stored once, whoever reads; a reader is a cursor. So sending never waits, and a reader that sleeps costs
/// neither the producer nor the others anything. A reader that is further behind than the ring is long gets a [`Gap`] and
/// goes on with the oldest item there is. Items are numbered from 1, and cloned for each reader under the ring's lock:
/// wrap what is large in an `Arc`.
///
/// It must be ended with [`finish`](Self::finish) or [`fail`](Self::fail); dropped otherwise, readers get
/// `unknown_outcome` after the last item. A clone sends into the same ring.
///
/// ```
/// use beluga_runtime::stream::{Broadcast, Gap, Heard};
/// use futures_util::TryStreamExt;
///
/// # futures_util::FutureExt::now_or_never(async {
/// let prices = Broadcast::new(2);
/// let reader = prices.subscribe();
/// for price in [100, 101, 102] {
///     prices.send(price)?;
/// }
/// prices.finish();
/// let heard: Vec<_> = reader.try_collect().await?;
/// assert_eq!(heard[0], Heard::Gap(Gap { first: 1, missed: 1 }));
/// assert_eq!(heard[1..], [Heard::Item { number: 2, item: 101 }, Heard::Item { number: 3, item: 102 }]);
/// # Ok::<(), beluga_core::Error>(())
/// # }).unwrap().unwrap();
/// ```
///
/// An actor keeps one in a field and serves each of its readers with credit, from a job:
///
/// ```
/// # use beluga_core::Result;
/// # use beluga_runtime::stream::{Broadcast, Heard};
/// # use beluga_runtime::{Actor, Cx, Message, Sink, StreamHandler, protocol};
/// # #[derive(Message)]
/// # #[message(name = "exchange.follow", stream = Heard<u64>)]
/// # struct Follow;
/// # protocol!(ExchangeProtocol: ; stream Follow);
/// # struct Exchange { prices: Broadcast<u64> }
/// # impl Actor for Exchange {
/// #     type Protocol = ExchangeProtocol;
/// #     const KIND: &'static str = "exchange";
/// # }
/// impl StreamHandler<Follow> for Exchange {
///     async fn handle(&mut self, _: Follow, sink: Sink<Heard<u64>>, cx: &mut Cx<Self>) -> Result<()> {
///         let prices = self.prices.subscribe();
///         drop(cx.job("follow", "follow", cx.context(), move |_| sink.send_all(prices)));
///         Ok(())
///     }
/// }
/// ```
pub struct Broadcast<T>(Arc<Shared<T>>);

impl<T> Broadcast<T> {
    /// Makes a broadcast that keeps the newest `capacity` items, at least one.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self(Arc::new(Shared(Mutex::new(Ring::new(capacity)))))
    }

    /// Sends an item and gives its number. Never waits, and needs no reader: who joins later may ask for it.
    ///
    /// # Errors
    /// `cancelled` once the broadcast has ended.
    pub fn send(&self, item: T) -> Result<u64> {
        let (pushed, number, wakers) = {
            let mut ring = self.0.lock();
            (ring.push(item), ring.last(), ring.rouse())
        };
        self.0.wake(wakers);
        // What has left the ring is dropped here, without a lock.
        pushed.map(|_| number).map_err(|_| Error::cancelled("the broadcast has ended"))
    }

    /// Sends every item of a stream, as fast as it gives them, and ends as that ends: in order, or with its error.
    ///
    /// Somebody must read already: without a reader, and as soon as the last one has left, it stops and drops the stream,
    /// but does not end the broadcast.
    ///
    /// # Errors
    /// `cancelled` when nobody reads or the broadcast was ended. The stream's error goes to the readers only.
    pub async fn send_all(&self, items: impl Stream<Item = Result<T>>) -> Result<()> {
        let mut items = std::pin::pin!(items);
        let mut closed = std::pin::pin!(self.closed());
        loop {
            let next = tokio::select! {
                biased;
                () = &mut closed => return Err(Error::cancelled("nobody reads the broadcast")),
                next = items.next() => next,
            };
            match next {
                Some(Ok(item)) => self.send(item).map(drop)?,
                Some(Err(error)) => {
                    self.fail(error);
                    return Ok(());
                }
                None => {
                    self.finish();
                    return Ok(());
                }
            }
            // Nothing else makes it wait if the stream never does.
            coop::consume_budget().await;
        }
    }

    /// Ends the broadcast in order: readers end after the last item. The first end counts; nothing is taken after it.
    pub fn finish(&self) {
        self.end(Ok(()));
    }

    /// Ends the broadcast with an error, which every reader gets after the last item. The first end counts; nothing is
    /// taken after it.
    pub fn fail(&self, error: Error) {
        self.end(Err(error));
    }

    fn end(&self, end: Result<()>) {
        let wakers = {
            let mut ring = self.0.lock();
            ring.end(end);
            ring.rouse()
        };
        self.0.wake(wakers);
    }

    /// Adds a reader of what is sent from now on. After the end it gets the end.
    pub fn subscribe(&self) -> Subscription<T> {
        self.subscribe_at(|last| last)
    }

    /// Adds a reader of what comes after the item with this number: one that comes back with its
    /// [cursor](Subscription::cursor), or with 0 a new one that wants all there is. What has left the ring is a gap.
    ///
    /// Numbers are this broadcast's own; one that is not reached yet counts as the newest.
    pub fn subscribe_after(&self, number: u64) -> Subscription<T> {
        self.subscribe_at(|last| number.min(last))
    }

    fn subscribe_at(&self, cursor: impl FnOnce(u64) -> u64) -> Subscription<T> {
        let mut ring = self.0.lock();
        let (key, cursor) = (ring.join(), cursor(ring.last()));
        drop(ring);
        Subscription { shared: Arc::clone(&self.0), key, cursor, held: None, is_done: false }
    }

    /// Returns how many readers there are.
    #[must_use]
    pub fn readers(&self) -> usize {
        self.0.lock().readers()
    }

    /// Returns the number of the newest item; 0 before the first.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.0.lock().last()
    }

    /// Waits until nobody reads: at once if nobody does yet. Cancel safe.
    ///
    /// A reader may join right after; a producer that stops for good [ends](Self::finish) the broadcast, so that it is
    /// told.
    pub async fn closed(&self) {
        Closed { shared: &self.0, key: None }.await;
    }
}

impl<T> Default for Broadcast<T> {
    /// Makes a broadcast that keeps the newest 256 items.
    fn default() -> Self {
        Self::new(BROADCAST_RING)
    }
}

impl<T> Clone for Broadcast<T> {
    fn clone(&self) -> Self {
        self.0.lock().enter();
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Broadcast<T> {
    fn drop(&mut self) {
        let wakers = self.0.lock().exit();
        self.0.wake(wakers);
    }
}

impl<T> fmt::Debug for Broadcast<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broadcast").field("last", &self.last()).field("readers", &self.readers()).finish()
    }
}

/// What a reader of a broadcast hears.
///
/// See [`Broadcast`] for an example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard<T> {
    /// An item.
    Item {
        /// Its number, one more than that of the item before.
        number: u64,
        /// What was sent.
        item: T,
    },
    /// The reader was too slow for these; an item follows.
    Gap(Gap),
}

/// Items that left the ring before a reader came for them: `missed` of them from number `first` on.
///
/// What a reader receives and what it is told it missed are together what was sent.
///
/// See [`Broadcast`] for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Gap {
    /// The number of the first item missed.
    pub first: u64,
    /// How many in a row, at least 1.
    pub missed: u64,
}

/// A reader of a [`Broadcast`]: a stream of what it [hears](Heard), in order. Dropping it leaves nothing behind.
///
/// It ends after the last item, or with the producer's error as the last one; with `unknown_outcome` if the producer died.
///
/// See [`Broadcast`] for an example.
#[must_use = "a stream does nothing unless polled"]
pub struct Subscription<T> {
    shared: Arc<Shared<T>>,
    key: usize,
    /// The number of the last item given, or told to be missed.
    cursor: u64,
    /// The item after a gap that was told. Held, so that even the slowest reader gets an item after each gap.
    held: Option<T>,
    is_done: bool,
}

impl<T> Subscription<T> {
    /// Returns the number of the last item that was given or told to be missed. See [`Broadcast::subscribe_after`].
    #[must_use]
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    fn give(&mut self, item: T) -> Option<Result<Heard<T>>> {
        self.cursor += 1;
        Some(Ok(Heard::Item { number: self.cursor, item }))
    }
}

impl<T> Unpin for Subscription<T> {}

impl<T: Clone> Stream for Subscription<T> {
    type Item = Result<Heard<T>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.is_done {
            return Poll::Ready(None);
        }
        if let Some(item) = this.held.take() {
            return Poll::Ready(this.give(item));
        }
        let budget = ready!(coop::poll_proceed(cx));
        let next = this.shared.lock().next(this.cursor, this.key, cx.waker());
        let next = ready!(next);
        budget.made_progress();
        Poll::Ready(match next {
            Next::Item(item) => this.give(item),
            Next::Late(missed, item) => {
                let gap = Gap { first: this.cursor + 1, missed };
                this.cursor += missed;
                this.held = Some(item);
                Some(Ok(Heard::Gap(gap)))
            }
            Next::End(error) => {
                this.is_done = true;
                error.map(Err)
            }
        })
    }
}

impl<T> Drop for Subscription<T> {
    fn drop(&mut self) {
        let watchers = self.shared.lock().leave(self.key);
        watchers.into_iter().for_each(Waker::wake);
    }
}

impl<T> fmt::Debug for Subscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("cursor", &self.cursor)
            .field("done", &self.is_done)
            .finish_non_exhaustive()
    }
}

/// The one place that locks. Wakers are called and items are dropped after the guard.
struct Shared<T>(Mutex<Ring<T>>);

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Ring<T>> {
        self.0.lock()
    }

    fn wake(&self, mut wakers: Vec<Waker>) {
        if !wakers.is_empty() {
            wakers.drain(..).for_each(Waker::wake);
            self.lock().keep(wakers);
        }
    }
}

/// The future of [`Broadcast::closed`].
struct Closed<'a, T> {
    shared: &'a Shared<T>,
    key: Option<usize>,
}

impl<T> Future for Closed<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.shared.lock().watch(&mut this.key, cx.waker())
    }
}

impl<T> Drop for Closed<'_, T> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.shared.lock().unwatch(key);
        }
    }
}
