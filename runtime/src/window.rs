//! A stream's queue: one reader, few producers, and as many items between them as the reader gave credit for.
//!
//! It grows with what lies in it, so that a stream of a few items costs a few items; an async channel's block would be
//! kilobytes. Its end travels with it. Reading an item gives its place back: to the producer that waits longest, else to
//! whoever sends next.
//!
//! Items carry no numbers: one queue under one lock can neither lose nor swap any. What carries a stream to another node
//! reads this queue and numbers what it sends; the far end compares.

#[cfg(test)]
mod model;
mod state;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use beluga_core::{Error, Result};

use crate::sync::{Mutex, MutexGuard};

use state::State;
pub(crate) use state::{Refused, Taken};

/// Makes both sides of a queue that takes `credit` items at a time, at least one.
pub(crate) fn window<T>(credit: usize) -> (Producer<T>, Reader<T>) {
    let shared = Arc::new(Shared(Mutex::new(State::new(credit))));
    (Producer(Arc::clone(&shared)), Reader(shared))
}

/// The one place that locks. Wakers are called and items are dropped after the guard.
struct Shared<T>(Mutex<State<T>>);

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock()
    }
}

/// A producer's side. A clone is another producer of the same queue.
pub(crate) struct Producer<T>(Arc<Shared<T>>);

impl<T> Producer<T> {
    pub(crate) fn try_send(&self, item: T) -> Result<(), Refused<T>> {
        let reader = self.0.lock().offer(item)?;
        wake(reader);
        Ok(())
    }

    /// Waits for credit. Cancel safe: dropped before it is ready, the item was not sent.
    pub(crate) fn send(&self, item: T) -> Send<'_, T> {
        Send { queue: &self.0, item: Some(item), ticket: None }
    }

    /// Ends the stream after the items sent so far, unless it is closed already.
    pub(crate) fn end(&self, end: Result<()>) {
        let waiting = self.0.lock().end(end);
        wake(waiting);
    }

    /// Returns whether no item is taken any more: the reader left, or the stream has its end.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.lock().is_closed()
    }

    /// Waits until no item is taken any more.
    pub(crate) fn closed(&self) -> Closed<'_, T> {
        Closed { queue: &self.0, ticket: None }
    }

    /// Returns how many items may be sent at once.
    pub(crate) fn credit(&self) -> usize {
        self.0.lock().credit()
    }
}

impl<T> Clone for Producer<T> {
    fn clone(&self) -> Self {
        self.0.lock().enter();
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Producer<T> {
    fn drop(&mut self) {
        let reader = self.0.lock().exit();
        wake(reader);
    }
}

/// The reader's side.
pub(crate) struct Reader<T>(Arc<Shared<T>>);

impl<T> Reader<T> {
    /// Returns the next item; after the last one the end, as soon as it is set or no producer is left.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Taken<T>> {
        let taken = self.0.lock().take(cx.waker());
        let (taken, producer) = ready!(taken);
        wake(producer);
        Poll::Ready(taken)
    }

    /// Ends the stream with an error after the items sent so far, unless it is closed already.
    pub(crate) fn refuse(&self, error: Error) {
        let waiting = self.0.lock().end(Err(error));
        wake(waiting);
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        let (items, waiting) = self.0.lock().leave();
        wake(waiting);
        drop(items);
    }
}

fn wake(wakers: impl IntoIterator<Item = Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}

/// The future of [`Producer::send`]. It gives whether the item was taken.
pub(crate) struct Send<'a, T> {
    queue: &'a Shared<T>,
    item: Option<T>,
    ticket: Option<u64>,
}

impl<T> Unpin for Send<'_, T> {}

impl<T> Future for Send<'_, T> {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        let this = &mut *self;
        let Some(item) = this.item.take() else { return Poll::Ready(false) };
        let taken = this.queue.lock().queue(item, &mut this.ticket, cx.waker());
        match taken {
            Ok(reader) => {
                wake(reader);
                Poll::Ready(true)
            }
            Err(Refused::NoCredit(item)) => {
                this.item = Some(item);
                Poll::Pending
            }
            Err(Refused::Closed(_)) => Poll::Ready(false),
        }
    }
}

impl<T> Drop for Send<'_, T> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let next = self.queue.lock().give_up(ticket);
            wake(next);
        }
    }
}

/// The future of [`Producer::closed`].
pub(crate) struct Closed<'a, T> {
    queue: &'a Shared<T>,
    ticket: Option<u64>,
}

impl<T> Future for Closed<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.queue.lock().watch(&mut this.ticket, cx.waker())
    }
}

impl<T> Drop for Closed<'_, T> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.queue.lock().unwatch(ticket);
        }
    }
}
