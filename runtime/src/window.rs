//! A stream's queue: one reader, few producers, and as many items between them as the reader gave credit for.
//!
//! It grows with what lies in it, so that a stream of a few items costs a few items; an async channel's block would be
//! kilobytes. Its end travels with it. Producers that wait are woken in the order they came.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use beluga_core::{Error, Result};
use parking_lot::Mutex;

struct State<T> {
    items: VecDeque<T>,
    /// The most items that may lie here.
    credit: usize,
    producers: usize,
    /// How the stream ended; the first end counts.
    end: Option<Result<()>>,
    /// The reader's side is gone.
    is_left: bool,
    reader: Option<Waker>,
    /// Producers without credit, by ticket.
    waiting: VecDeque<(u64, Waker)>,
    /// Who waits for the reader to leave, by ticket.
    watching: Vec<(u64, Waker)>,
    tickets: u64,
}

type Shared<T> = Arc<Mutex<State<T>>>;

/// Makes both sides of a queue that takes `credit` items at a time, at least one.
pub(crate) fn window<T>(credit: usize) -> (Producer<T>, Reader<T>) {
    let shared = Arc::new(Mutex::new(State {
        items: VecDeque::new(),
        credit: credit.max(1),
        producers: 1,
        end: None,
        is_left: false,
        reader: None,
        waiting: VecDeque::new(),
        watching: Vec::new(),
        tickets: 0,
    }));
    (Producer(Arc::clone(&shared)), Reader(shared))
}

/// Why an item was not taken; it comes back.
pub(crate) enum Refused<T> {
    NoCredit(T),
    Left,
}

/// A producer's side. A clone is another producer of the same queue.
pub(crate) struct Producer<T>(Shared<T>);

impl<T> Producer<T> {
    pub(crate) fn try_send(&self, item: T) -> Result<(), Refused<T>> {
        let mut state = self.0.lock();
        // Whoever waits was here before.
        if !state.is_left && !state.waiting.is_empty() {
            return Err(Refused::NoCredit(item));
        }
        state.push(item)
    }

    /// Waits for credit. False: the reader left. Cancel safe: dropped before it is ready, the item was not sent.
    pub(crate) fn send(&self, item: T) -> Send<'_, T> {
        Send { queue: &self.0, item: Some(item), ticket: None }
    }

    /// Notes how the stream ends, unless it has an end already.
    pub(crate) fn end(&self, end: Result<()>) {
        self.0.lock().end.get_or_insert(end);
    }

    pub(crate) fn is_left(&self) -> bool {
        self.0.lock().is_left
    }

    /// Waits until the reader has left.
    pub(crate) fn left(&self) -> Left<'_, T> {
        Left { queue: &self.0, ticket: None }
    }

    /// Returns how many items may be sent at once.
    pub(crate) fn credit(&self) -> usize {
        let state = self.0.lock();
        state.credit.saturating_sub(state.items.len())
    }
}

impl<T> Clone for Producer<T> {
    fn clone(&self) -> Self {
        self.0.lock().producers += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Producer<T> {
    fn drop(&mut self) {
        let reader = {
            let mut state = self.0.lock();
            state.producers -= 1;
            if state.producers == 0 { state.reader.take() } else { None }
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// The reader's side.
pub(crate) struct Reader<T>(Shared<T>);

impl<T> Reader<T> {
    /// Returns the next item; `None` once all were taken and no producer is left.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let budget = ready!(tokio::task::coop::poll_proceed(cx));
        let mut state = self.0.lock();
        if let Some(item) = state.items.pop_front() {
            let waiting = state.waiting.pop_front();
            drop(state);
            budget.made_progress();
            if let Some((_, producer)) = waiting {
                producer.wake();
            }
            return Poll::Ready(Some(item));
        }
        if state.producers == 0 {
            budget.made_progress();
            return Poll::Ready(None);
        }
        match &mut state.reader {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Takes how the stream ended.
    pub(crate) fn take_end(&self) -> Option<Result<()>> {
        self.0.lock().end.take()
    }

    /// Ends the stream with an error, unless it has an end already.
    pub(crate) fn refuse(&self, error: Error) {
        self.0.lock().end.get_or_insert(Err(error));
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        let (items, waiting, watching) = {
            let mut state = self.0.lock();
            state.is_left = true;
            (std::mem::take(&mut state.items), std::mem::take(&mut state.waiting), std::mem::take(&mut state.watching))
        };
        waiting.into_iter().chain(watching).for_each(|(_, waker)| waker.wake());
        drop(items);
    }
}

impl<T> State<T> {
    fn push(&mut self, item: T) -> Result<(), Refused<T>> {
        if self.is_left {
            return Err(Refused::Left);
        }
        if self.items.len() >= self.credit {
            return Err(Refused::NoCredit(item));
        }
        self.items.push_back(item);
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Ok(())
    }

    fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }
}

/// The future of [`Producer::send`]. It gives whether the item was taken.
pub(crate) struct Send<'a, T> {
    queue: &'a Mutex<State<T>>,
    item: Option<T>,
    ticket: Option<u64>,
}

impl<T> Unpin for Send<'_, T> {}

impl<T> Future for Send<'_, T> {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        let this = &mut *self;
        let Some(item) = this.item.take() else { return Poll::Ready(false) };
        let mut state = this.queue.lock();
        let place = this.ticket.and_then(|ticket| state.waiting.iter().position(|(other, _)| *other == ticket));
        let refused = match place {
            // Not called yet.
            Some(_) if !state.is_left => Refused::NoCredit(item),
            _ => match state.push(item) {
                Ok(()) => {
                    this.ticket = None;
                    return Poll::Ready(true);
                }
                Err(refused) => refused,
            },
        };
        let Refused::NoCredit(item) = refused else { return Poll::Ready(false) };
        this.item = Some(item);
        match place.and_then(|place| state.waiting.get_mut(place)) {
            Some((_, waker)) => waker.clone_from(cx.waker()),
            None => {
                let ticket = state.ticket();
                this.ticket = Some(ticket);
                state.waiting.push_back((ticket, cx.waker().clone()));
            }
        }
        Poll::Pending
    }
}

impl<T> Drop for Send<'_, T> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let mut state = self.queue.lock();
        match state.waiting.iter().position(|(other, _)| *other == ticket) {
            Some(place) => drop(state.waiting.remove(place)),
            // It was called and does not use its place: the next one may.
            None => {
                let next = state.waiting.pop_front();
                drop(state);
                if let Some((_, producer)) = next {
                    producer.wake();
                }
            }
        }
    }
}

/// The future of [`Producer::left`].
pub(crate) struct Left<'a, T> {
    queue: &'a Mutex<State<T>>,
    ticket: Option<u64>,
}

impl<T> Future for Left<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.queue.lock();
        if state.is_left {
            return Poll::Ready(());
        }
        let known = self.ticket.and_then(|ticket| state.watching.iter_mut().find(|(other, _)| *other == ticket));
        if let Some((_, waker)) = known {
            waker.clone_from(cx.waker());
        } else {
            let ticket = state.ticket();
            state.watching.push((ticket, cx.waker().clone()));
            drop(state);
            self.ticket = Some(ticket);
        }
        Poll::Pending
    }
}

impl<T> Drop for Left<'_, T> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.queue.lock().watching.retain(|(other, _)| *other != ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn next<T>(reader: &mut Reader<T>) -> Option<Option<T>> {
        std::future::poll_fn(|cx| reader.poll_next(cx)).now_or_never()
    }

    #[test]
    fn items_come_in_order_and_the_end_after_the_last() {
        let (producer, mut reader) = window(2);
        assert!(producer.try_send(1).is_ok() && producer.try_send(2).is_ok());
        assert!(matches!(producer.try_send(3), Err(Refused::NoCredit(3))));
        assert_eq!(producer.credit(), 0);
        producer.end(Ok(()));
        drop(producer);
        assert_eq!((next(&mut reader), next(&mut reader)), (Some(Some(1)), Some(Some(2))));
        assert_eq!(next(&mut reader), Some(None));
        assert!(matches!(reader.take_end(), Some(Ok(()))));
    }

    #[test]
    fn producers_that_wait_are_served_in_their_order() {
        let (producer, mut reader) = window(1);
        assert!(producer.try_send(0).is_ok());
        let (mut first, mut second) = (producer.send(1), producer.send(2));
        assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
        assert_eq!(next(&mut reader), Some(Some(0)));
        assert!(matches!(producer.try_send(9), Err(Refused::NoCredit(9))), "the second is before it");
        assert!((&mut second).now_or_never().is_none(), "it was not called");
        assert_eq!(first.now_or_never(), Some(true));
        assert_eq!(next(&mut reader), Some(Some(1)));
        assert_eq!(second.now_or_never(), Some(true));
    }

    #[test]
    fn a_called_producer_that_leaves_calls_the_next() {
        let (producer, mut reader) = window(1);
        assert!(producer.try_send(0).is_ok());
        let (mut first, mut second) = (producer.send(1), producer.send(2));
        assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
        assert_eq!(next(&mut reader), Some(Some(0)));
        drop(first);
        assert_eq!(second.now_or_never(), Some(true));
        assert_eq!(next(&mut reader), Some(Some(2)));
    }

    #[test]
    fn whoever_waits_learns_that_the_reader_left() {
        let (producer, reader) = window(1);
        assert!(producer.try_send(0).is_ok());
        let mut waits = producer.send(1);
        let mut left = producer.left();
        assert!((&mut waits).now_or_never().is_none() && (&mut left).now_or_never().is_none());
        drop(reader);
        assert_eq!(waits.now_or_never(), Some(false));
        assert!(left.now_or_never().is_some() && producer.is_left());
        assert!(matches!(producer.try_send(2), Err(Refused::Left)));
    }

    #[test]
    fn an_abandoned_wait_leaves_nothing_behind() {
        let (producer, _reader) = window(1);
        assert!(producer.try_send(0).is_ok());
        for _ in 0..3 {
            assert!(producer.send(1).now_or_never().is_none());
            assert!(producer.left().now_or_never().is_none());
        }
        let state = producer.0.lock();
        assert!(state.waiting.is_empty() && state.watching.is_empty());
    }
}
