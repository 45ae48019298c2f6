//! The chunks of one call of a supervised model, asked for again when its actor died before the first content.
//!
//! The actor's own tries end with it, so this one is made by the caller. A question has no effect but its cost: that its
//! outcome is unknown is no reason not to ask again as long as nothing of an answer was given out.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use beluga_core::{CallContext, Code, Content, Error, ModelChunk, ModelRequest, Result};
use beluga_runtime::service::RetryConfig;
use beluga_runtime::{Ref, ReplyStream, SystemRandom, time};
use futures_core::Stream;
use futures_util::StreamExt;

use super::message::{Generate, ModelProtocol};

/// How often and after which waits a call is asked for again.
#[derive(Debug)]
pub(crate) struct Again {
    pub(super) retry: Option<RetryConfig>,
    pub(super) random: SystemRandom,
}

impl Again {
    /// Returns the wait before the next try, `None` to give up.
    pub(crate) fn wait(&self, error: &Error, failed: u32, context: &CallContext) -> Option<Duration> {
        // Whatever the model answered itself has had its tries.
        if !matches!(error.code(), Code::UnknownOutcome | Code::NotSent) {
            return None;
        }
        self.retry.as_ref()?.wait(error, failed, context, &self.random)
    }
}

/// One call. Lazy: nothing is sent before the first poll.
pub(super) struct Chunks {
    actor: Ref<ModelProtocol>,
    request: Arc<ModelRequest>,
    context: CallContext,
    again: Arc<Again>,
    failed: u32,
    has_content: bool,
    phase: Phase,
}

enum Phase {
    Start,
    Reading(ReplyStream<ModelChunk>),
    Waiting(Pin<Box<time::Sleep>>),
    Done,
}

impl Chunks {
    pub(super) fn new(
        actor: Ref<ModelProtocol>,
        request: Arc<ModelRequest>,
        context: CallContext,
        again: Arc<Again>,
    ) -> Self {
        Self { actor, request, context, again, failed: 0, has_content: false, phase: Phase::Start }
    }

    /// Waits before another try, or returns the error that ends the stream.
    fn fail(&mut self, error: Error) -> Option<Error> {
        self.failed += 1;
        let wait = if self.has_content { None } else { self.again.wait(&error, self.failed, &self.context) };
        match wait {
            Some(wait) => {
                let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                tracing::warn!(model = self.actor.name(), %error, wait_ms, "the model died: it is asked again");
                self.phase = Phase::Waiting(Box::pin(time::sleep(wait)));
                None
            }
            None => {
                self.phase = Phase::Done;
                Some(error)
            }
        }
    }
}

impl Stream for Chunks {
    type Item = Result<ModelChunk>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            match &mut this.phase {
                Phase::Start => {
                    let ask = this.actor.stream(Generate(Arc::clone(&this.request)));
                    this.phase = Phase::Reading(ask.with_context(&this.context).open());
                }
                Phase::Reading(chunks) => match ready!(chunks.poll_next_unpin(cx)) {
                    Some(Ok(chunk)) => {
                        this.has_content |= chunk.is_content();
                        return Poll::Ready(Some(Ok(chunk)));
                    }
                    Some(Err(error)) => {
                        if let Some(error) = this.fail(error) {
                            return Poll::Ready(Some(Err(error)));
                        }
                    }
                    None => this.phase = Phase::Done,
                },
                Phase::Waiting(sleep) => {
                    ready!(sleep.as_mut().poll(cx));
                    this.phase = Phase::Start;
                }
                Phase::Done => return Poll::Ready(None),
            }
        }
    }
}
