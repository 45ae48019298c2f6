//! The answer of a streaming message: a bounded channel with credit, and an end that says how it ended.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use beluga_core::{CallContext, Cancelled, Error, Result};
use futures_core::Stream;
use futures_util::StreamExt;
use tokio::task::coop;

use crate::delivery::{Delivery, Route};
use crate::time;
use crate::window::{self, Producer, Reader, Refused, Taken, window};

/// How many items a producer may be ahead of its reader, unless the reader asks for another window.
pub const STREAM_WINDOW: usize = 32;

/// The producer's side of a stream. May move into a job.
///
/// It must be ended with [`finish`](Self::finish) or [`fail`](Self::fail); dropped otherwise, its reader gets
/// `unknown_outcome` after the items already sent. A clone sends into the same stream, within the same window: who waits
/// longest sends first, and whoever ends the stream ends it for all.
///
/// See [`StreamHandler`](crate::StreamHandler) for an example.
pub struct Sink<T> {
    items: Producer<T>,
    context: CallContext,
}

impl<T> Sink<T> {
    /// Sends one item, waiting for credit. Cancel safe: dropped before it is ready, the item was not sent.
    ///
    /// # Errors
    /// `cancelled` when the reader left, the call was cancelled, or the stream was ended.
    pub fn send(&self, item: T) -> Sending<'_, T> {
        Sending { sink: self, item: self.items.send(item), cancelled: None }
    }

    /// Sends one item if the reader has given credit for it.
    ///
    /// # Errors
    /// `cancelled` when the reader left, the call was cancelled, or the stream was ended; `overloaded` without credit.
    pub fn try_send(&self, item: T) -> Result<()> {
        if self.context.is_cancelled() {
            return Err(unread());
        }
        match self.items.try_send(item) {
            Ok(()) => Ok(()),
            Err(Refused::NoCredit(_)) => Err(Error::overloaded("the reader has given no credit")),
            Err(Refused::Closed(_)) => Err(unread()),
        }
    }

    /// Sends every item of a stream, and ends as that ends: in order, or with its error.
    ///
    /// The stream is read no faster than the reader reads: beside the window one item of it is in hand. It is dropped as
    /// soon as nobody reads any more, also while it gives nothing.
    ///
    /// # Errors
    /// `cancelled` when the reader left or the call was cancelled. The stream's error goes to the reader only.
    pub async fn send_all(self, items: impl Stream<Item = Result<T>>) -> Result<()> {
        let end = {
            let mut items = std::pin::pin!(items);
            let mut closed = std::pin::pin!(self.closed());
            loop {
                let next = tokio::select! {
                    biased;
                    next = items.next() => next,
                    () = &mut closed => return Err(unread()),
                };
                match next {
                    Some(Ok(item)) => self.send(item).await?,
                    Some(Err(error)) => break Err(error),
                    None => break Ok(()),
                }
            }
        };
        self.items.end(end);
        Ok(())
    }

    /// Ends the stream in order, after the items already sent. The first end counts; nothing is taken after it.
    pub fn finish(self) {
        self.items.end(Ok(()));
    }

    /// Ends the stream with an error, after the items already sent. The first end counts; nothing is taken after it.
    pub fn fail(self, error: Error) {
        self.items.end(Err(error));
    }

    /// Waits until nothing is taken any more: the reader left, the call was cancelled, or a clone ended the stream.
    /// Cancel safe.
    pub async fn closed(&self) {
        let cancelled = self.context.cancel_token().cancelled();
        tokio::select! {
            () = self.items.closed() => {}
            () = cancelled => {}
        }
    }

    /// Returns whether nothing is taken any more. See [`closed`](Self::closed).
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.items.is_closed() || self.context.is_cancelled()
    }

    /// Returns how many items may be sent at once. Another producer may be faster.
    #[must_use]
    pub fn credit(&self) -> usize {
        self.items.credit()
    }

    /// Returns the context of the call.
    #[must_use]
    pub fn context(&self) -> &CallContext {
        &self.context
    }
}

/// The future of [`Sink::send`].
///
/// See [`StreamHandler`](crate::StreamHandler) for an example.
// Most items find credit: its own type costs no allocation where one waits, and little room where none does.
#[must_use = "an item is not sent unless awaited"]
pub struct Sending<'a, T> {
    sink: &'a Sink<T>,
    item: window::Send<'a, T>,
    /// Made when the item has to wait.
    cancelled: Option<Cancelled>,
}

impl<T> Future for Sending<'_, T> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        if this.sink.context.is_cancelled() {
            return Poll::Ready(Err(unread()));
        }
        if let Poll::Ready(is_sent) = Pin::new(&mut this.item).poll(cx) {
            return Poll::Ready(if is_sent { Ok(()) } else { Err(unread()) });
        }
        let token = this.sink.context.cancel_token();
        let cancelled = this.cancelled.get_or_insert_with(|| token.cancelled());
        Pin::new(cancelled).poll(cx).map(|()| Err(unread()))
    }
}

impl<T> fmt::Debug for Sending<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").field("sink", self.sink).finish_non_exhaustive()
    }
}

fn unread() -> Error {
    Error::cancelled("nobody reads the stream any more")
}

impl<T> Clone for Sink<T> {
    fn clone(&self) -> Self {
        Self { items: self.items.clone(), context: self.context.clone() }
    }
}

impl<T> fmt::Debug for Sink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").field("credit", &self.items.credit()).field("closed", &self.is_closed()).finish()
    }
}

/// The reader's side of a stream. Dropping it cancels the producer.
///
/// Gives items, then ends; or gives one last error and ends: what the producer failed with, `unknown_outcome` if it
/// died, `timeout` at the deadline, `cancelled` with the parent's call. The last two refuse what the producer sends from
/// then on; what it sent before is still given.
///
/// ```
/// # use beluga_core::Result;
/// # use beluga_runtime::{Actor, Cx, Message, Sink, StreamHandler, protocol};
/// # use futures_util::{StreamExt, TryStreamExt};
/// # #[derive(Message)]
/// # #[message(name = "counter.up", stream = u32)]
/// # struct CountUp;
/// # protocol!(CounterProtocol: ; stream CountUp);
/// # struct Counter;
/// # impl Actor for Counter { type Protocol = CounterProtocol; const KIND: &'static str = "counter"; }
/// # impl StreamHandler<CountUp> for Counter {
/// #     async fn handle(&mut self, _: CountUp, sink: Sink<u32>, _cx: &mut Cx<Self>) -> Result<()> {
/// #         for number in 1.. {
/// #             sink.send(number).await?;
/// #         }
/// #         Ok(())
/// #     }
/// # }
/// # beluga_runtime::testkit::run(1, |system| async move {
/// let counter = system.spawn("counter", || Counter).await?;
/// let mut numbers = counter.stream(CountUp).open(); // It counts without end.
/// assert_eq!(numbers.try_next().await?, Some(1));
/// drop(numbers); // The producer's next `send` answers `cancelled`.
/// let first: Vec<u32> = counter.stream(CountUp).open().take(3).try_collect().await?;
/// assert_eq!(first, [1, 2, 3]);
/// # system.shutdown_gracefully().await
/// # }).unwrap();
/// ```
#[must_use = "a stream does nothing unless polled"]
pub struct ReplyStream<T> {
    items: Reader<T>,
    delivery: Option<Delivery>,
    parent: Option<Cancelled>,
    sleep: Option<Pin<Box<time::Sleep>>>,
    context: CallContext,
    route: Route,
    message: &'static str,
    done: bool,
}

impl<T> ReplyStream<T> {
    pub(crate) fn pair(
        credit: usize,
        context: CallContext,
        parent: Option<Cancelled>,
        route: Route,
        message: &'static str,
    ) -> (Sink<T>, Self) {
        let (producer, items) = window(credit);
        let sink = Sink { items: producer, context: context.clone() };
        let sleep = context.deadline().map(|deadline| Box::pin(time::sleep_until(deadline)));
        (sink, Self { items, delivery: None, parent, sleep, context, route, message, done: false })
    }

    pub(crate) fn send(mut self, delivery: Delivery) -> Self {
        self.delivery = Some(delivery);
        self
    }

    pub(crate) fn refused(self, error: Error) -> Self {
        self.items.refuse(error);
        self
    }

    /// Returns the context of the call; cancelling its token ends the producer.
    #[must_use]
    pub fn context(&self) -> &CallContext {
        &self.context
    }

    /// Sends, and is ready once the message is in its lane or the wait is over.
    pub(crate) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(delivery) = &mut self.delivery else { return Poll::Ready(Ok(())) };
        match Pin::new(delivery).poll(cx) {
            Poll::Ready(sent) => {
                self.delivery = None;
                Poll::Ready(sent)
            }
            // What ends the wait is what the stream gives next.
            Poll::Pending => self.poll_limits(cx).map(Ok),
        }
    }

    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        if let Some(delivery) = &mut self.delivery {
            let sent = ready!(Pin::new(delivery).poll(cx));
            self.delivery = None;
            if let Err(error) = sent {
                return Poll::Ready(Some(Err(error)));
            }
            // The deadline's timer runs from now on, also for a stream that never keeps its reader waiting.
            let _ = self.poll_limits(cx);
        }
        if self.sleep.as_ref().is_some_and(|sleep| sleep.is_elapsed()) {
            self.cut(Error::timeout("the stream did not end in time"));
        }
        let budget = ready!(coop::poll_proceed(cx));
        let taken = ready!(self.items.poll_next(cx));
        budget.made_progress();
        Poll::Ready(match taken {
            Taken::Item(item) => Some(Ok(item)),
            Taken::End(Some(Ok(()))) => None,
            Taken::End(Some(Err(error))) => Some(Err(error)),
            Taken::End(None) => Some(Err(self.name(if self.context.is_cancelled() {
                Error::cancelled("the call was cancelled")
            } else {
                Error::unknown_outcome("the producer ended without finishing the stream")
            }))),
        })
    }

    /// Is ready, and the stream has its end, once the parent was cancelled or the deadline passed.
    fn poll_limits(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(parent) = self.parent.as_mut()
            && Pin::new(parent).poll(cx).is_ready()
        {
            self.cut(Error::cancelled("the call was cancelled"));
            return Poll::Ready(());
        }
        if let Some(sleep) = self.sleep.as_mut()
            && sleep.as_mut().poll(cx).is_ready()
        {
            self.cut(Error::timeout("the stream did not end in time"));
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Ends the stream with an error after what was sent so far, and cancels the producer.
    fn cut(&mut self, error: Error) {
        self.items.refuse(self.name(error));
        (self.delivery, self.parent, self.sleep) = (None, None, None);
        self.context.cancel_token().cancel();
    }

    fn name(&self, error: Error) -> Error {
        error.with("actor", self.route.name()).with("message", self.message)
    }
}

impl<T> Stream for ReplyStream<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        let this = &mut *self;
        if this.done {
            return Poll::Ready(None);
        }
        let next = match this.poll_item(cx) {
            Poll::Ready(next) => next,
            Poll::Pending => {
                ready!(this.poll_limits(cx));
                ready!(this.poll_item(cx))
            }
        };
        if !matches!(next, Some(Ok(_))) {
            this.done = true;
            if next.is_some() {
                this.context.cancel_token().cancel();
            }
        }
        Poll::Ready(next)
    }
}

impl<T> Drop for ReplyStream<T> {
    fn drop(&mut self) {
        if !self.done {
            self.context.cancel_token().cancel();
        }
    }
}

impl<T> fmt::Debug for ReplyStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyStream").field("message", &self.message).field("done", &self.done).finish_non_exhaustive()
    }
}
