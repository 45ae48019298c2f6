//! Keeps a double's stream to the laws of `ChatModel`: cancellation ends it, and nothing follows an end.

use std::pin::Pin;
use std::task::{Context, Poll};

use beluga_core::{BoxStream, CallContext, Cancelled, Error, ModelChunk, Result};
use futures_core::Stream;
use futures_util::StreamExt;

/// A lazy stream: `start` runs when it is first polled, unless the call was cancelled before.
pub(super) struct Lawful<F> {
    cancelled: Cancelled,
    state: State<F>,
}

enum State<F> {
    Fresh(Option<F>),
    Running(BoxStream<'static, Result<ModelChunk>>),
    Done,
}

impl<F> Lawful<F>
where
    F: FnOnce() -> BoxStream<'static, Result<ModelChunk>> + Send + Unpin + 'static,
{
    pub(super) fn stream(cx: &CallContext, start: F) -> BoxStream<'static, Result<ModelChunk>> {
        Lawful { cancelled: cx.cancel_token().cancelled(), state: State::Fresh(Some(start)) }.boxed()
    }
}

impl<F> Stream for Lawful<F>
where
    F: FnOnce() -> BoxStream<'static, Result<ModelChunk>> + Unpin,
{
    type Item = Result<ModelChunk>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if matches!(self.state, State::Done) {
            return Poll::Ready(None);
        }
        if Pin::new(&mut self.cancelled).poll(cx).is_ready() {
            self.state = State::Done;
            return Poll::Ready(Some(Err(Error::cancelled("the call was cancelled").with_op("model.stream"))));
        }
        if let State::Fresh(start) = &mut self.state {
            let started = start.take().map(|start| start());
            self.state = started.map_or(State::Done, State::Running);
        }
        let State::Running(stream) = &mut self.state else { return Poll::Ready(None) };
        let next = std::task::ready!(stream.poll_next_unpin(cx));
        if matches!(next, None | Some(Err(_)) | Some(Ok(ModelChunk::Finished { .. }))) {
            self.state = State::Done;
        }
        Poll::Ready(next)
    }
}
