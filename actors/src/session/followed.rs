//! The events of a session that moves from node to node.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use beluga_core::{BoxFuture, CallContext, Code, Error, Numbered, Result, SessionId, TurnId};
use beluga_runtime::time;
use futures_core::Stream;
use futures_util::StreamExt;

use super::directory::{SessionKey, Shared};
use super::homes::{Events, failed};
use super::stream::{CURSOR, Until};

/// How long a stream looks for its session's next node before it gives up.
pub(crate) const FOLLOW_MAX: Duration = Duration::from_secs(60);

/// Between two tries.
pub(crate) const FOLLOW_WAIT: Duration = Duration::from_millis(100);

/// Reads events from the node that has the session, and from the next one when that says no more.
pub(crate) struct FollowedEvents {
    shared: Arc<Shared>,
    key: SessionKey,
    turn: Option<TurnId>,
    cursor: u64,
    /// `None`: as far as there were events.
    until: Option<Until>,
    context: CallContext,
    source: Option<Events>,
    /// On the way to the next source.
    seeking: Option<BoxFuture<'static, Events>>,
    /// Since when nothing but failures came.
    lost_since: Option<Instant>,
    is_cancelled_on_drop: bool,
}

impl FollowedEvents {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        key: SessionKey,
        turn: Option<TurnId>,
        after: u64,
        until: Option<Until>,
        context: CallContext,
        source: Events,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            key,
            turn,
            cursor: after,
            until,
            context,
            source: Some(source),
            seeking: None,
            lost_since: None,
            is_cancelled_on_drop: false,
        }
    }

    /// Cancels the turn if the stream is dropped before it ended.
    pub(crate) fn cancelled_on_drop(mut self, is_cancelled: bool) -> Self {
        self.is_cancelled_on_drop = is_cancelled;
        self
    }

    pub(crate) fn session(&self) -> &SessionId {
        &self.key.id
    }

    pub(crate) fn turn(&self) -> Option<&TurnId> {
        self.turn.as_ref()
    }

    pub(crate) fn cursor(&self) -> u64 {
        self.cursor
    }

    fn end(&mut self) {
        (self.source, self.seeking, self.is_cancelled_on_drop) = (None, None, false);
    }

    /// Takes an event; `None` if it is not for this reader.
    fn take(&mut self, event: Numbered) -> Option<Numbered> {
        self.lost_since = None;
        if event.number <= self.cursor {
            return None;
        }
        self.cursor = event.number;
        if self.turn.as_ref().is_some_and(|turn| *turn != event.turn) {
            return None;
        }
        let is_last = match self.until {
            Some(Until::TurnEnd) => event.event.is_terminal(),
            Some(Until::Number(last)) => event.number >= last,
            Some(Until::Never) | None => false,
        };
        if is_last {
            self.end();
        }
        Some(event)
    }

    /// Looks for the node that has the session now; `false` if that was tried for long enough.
    fn seek(&mut self) -> bool {
        let now = time::now();
        let since = *self.lost_since.get_or_insert(now);
        let is_long = now.saturating_duration_since(since) >= FOLLOW_MAX;
        if is_long || !self.shared.may_follow() || self.context.check(now).is_err() {
            return false;
        }
        let (shared, key, turn) = (Arc::clone(&self.shared), self.key.clone(), self.turn.clone());
        let (after, until, context) = (self.cursor, self.until, self.context.clone());
        self.source = None;
        self.seeking = Some(Box::pin(async move {
            time::sleep(FOLLOW_WAIT).await;
            match shared.events_anywhere(&key, turn, after, until, &context).await {
                Ok((_, _, events)) => events,
                Err(error) => failed(error),
            }
        }));
        true
    }
}

/// Returns whether a stream broke because of the node it came from, and not because of the turn.
pub(crate) fn is_of_the_node(error: &Error) -> bool {
    let is_cut_off = error.code() == Code::Overloaded && error.get(CURSOR).is_some();
    is_cut_off || matches!(error.code(), Code::UnknownOutcome | Code::Unavailable | Code::NotSent)
}

impl Stream for FollowedEvents {
    type Item = Result<Numbered>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(seeking) = &mut this.seeking {
                this.source = Some(ready!(seeking.as_mut().poll(cx)));
                this.seeking = None;
            }
            let Some(source) = &mut this.source else { return Poll::Ready(None) };
            match ready!(source.poll_next_unpin(cx)) {
                Some(Ok(event)) => {
                    if let Some(event) = this.take(event) {
                        return Poll::Ready(Some(Ok(event)));
                    }
                }
                Some(Err(error)) if is_of_the_node(&error) && this.seek() => {}
                Some(Err(error)) => {
                    this.end();
                    return Poll::Ready(Some(Err(error)));
                }
                None => this.end(),
            }
        }
    }
}

impl Drop for FollowedEvents {
    fn drop(&mut self) {
        if self.is_cancelled_on_drop {
            let (shared, key, turn) = (Arc::clone(&self.shared), self.key.clone(), self.turn.clone());
            // It may be dropped by a thread that runs no tasks.
            let host = Arc::clone(&shared.host);
            let cancel = async move {
                if let Err(error) = shared.cancel_anywhere(&key, turn).await {
                    tracing::warn!(session = %key.id, %error, "a turn whose caller left was not cancelled");
                }
            };
            host.spawn("session.cancel", Box::pin(cancel));
        }
    }
}

impl fmt::Debug for FollowedEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FollowedEvents")
            .field("session", &self.key.id)
            .field("turn", &self.turn)
            .field("cursor", &self.cursor)
            .finish_non_exhaustive()
    }
}
