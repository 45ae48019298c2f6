//! The answer of a streaming message: a bounded channel with credit, and an end that says how it ended.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use beluga_core::{CallContext, Cancelled, Error, Result};
use futures_core::Stream;

use crate::delivery::{Delivery, Route};
use crate::time;
use crate::window::{Producer, Reader, Refused, window};

/// How many items a producer may be ahead of its reader, unless the reader asks for another window.
pub const STREAM_WINDOW: usize = 32;

/// The producer's side of a stream. May move into a job.
///
/// It must be ended with [`finish`](Self::finish) or [`fail`](Self::fail); dropped otherwise, its reader gets
/// `unknown_outcome` after the items already sent. A clone sends into the same stream.
pub struct Sink<T> {
    items: Producer<T>,
    context: CallContext,
}

impl<T> Sink<T> {
    /// Sends one item, waiting for credit. Cancel safe: dropped before it is ready, the item was not sent.
    ///
    /// # Errors
    /// `cancelled` when the reader left or the call was cancelled.
    pub async fn send(&self, item: T) -> Result<()> {
        let Some(item) = self.offer(item)? else { return Ok(()) };
        // Boxed: most items find credit, and every producer would hold the room to wait.
        Box::pin(self.send_late(item)).await
    }

    async fn send_late(&self, item: T) -> Result<()> {
        let cancelled = self.context.cancel_token().cancelled();
        tokio::select! {
            biased;
            sent = self.items.send(item) => if sent { Ok(()) } else { Err(left()) },
            () = cancelled => Err(left()),
        }
    }

    /// Sends one item if the reader has given credit for it.
    ///
    /// # Errors
    /// `cancelled` when the reader left or the call was cancelled, `overloaded` without credit.
    pub fn try_send(&self, item: T) -> Result<()> {
        match self.offer(item)? {
            None => Ok(()),
            Some(_) => Err(Error::overloaded("the reader has given no credit")),
        }
    }

    /// Sends an item, or gives it back without credit.
    fn offer(&self, item: T) -> Result<Option<T>> {
        if self.context.is_cancelled() {
            return Err(left());
        }
        match self.items.try_send(item) {
            Ok(()) => Ok(None),
            Err(Refused::NoCredit(item)) => Ok(Some(item)),
            Err(Refused::Left) => Err(left()),
        }
    }

    /// Ends the stream in order. The first end counts.
    pub fn finish(self) {
        self.items.end(Ok(()));
    }

    /// Ends the stream with an error, after the items already sent. The first end counts.
    pub fn fail(self, error: Error) {
        self.items.end(Err(error));
    }

    /// Waits until nobody reads any more, or the call was cancelled. Cancel safe.
    pub async fn closed(&self) {
        let cancelled = self.context.cancel_token().cancelled();
        tokio::select! {
            () = self.items.left() => {}
            () = cancelled => {}
        }
    }

    /// Returns whether nobody reads any more, or the call was cancelled.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.items.is_left() || self.context.is_cancelled()
    }

    /// Returns the context of the call.
    #[must_use]
    pub fn context(&self) -> &CallContext {
        &self.context
    }
}

fn left() -> Error {
    Error::cancelled("the reader of the stream left")
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
/// died, `timeout` at the deadline, `cancelled` with the parent's call.
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

    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        if let Some(delivery) = &mut self.delivery {
            let sent = ready!(Pin::new(delivery).poll(cx));
            self.delivery = None;
            if let Err(error) = sent {
                return Poll::Ready(Some(Err(error)));
            }
        }
        if let Some(item) = ready!(self.items.poll_next(cx)) {
            return Poll::Ready(Some(Ok(item)));
        }
        Poll::Ready(match self.items.take_end() {
            Some(Ok(())) => None,
            Some(Err(error)) => Some(Err(error)),
            None => Some(Err(self.name(Error::unknown_outcome("the producer ended without finishing the stream")))),
        })
    }

    fn poll_limits(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        if let Some(parent) = self.parent.as_mut()
            && Pin::new(parent).poll(cx).is_ready()
        {
            return Poll::Ready(self.name(Error::cancelled("the call was cancelled")));
        }
        if let Some(sleep) = self.sleep.as_mut()
            && sleep.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(self.name(Error::timeout("the stream did not end in time")));
        }
        Poll::Pending
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
            Poll::Pending => Some(Err(ready!(this.poll_limits(cx)))),
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
