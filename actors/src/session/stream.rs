//! What a reader of a session holds: its events, from a cursor, live or to the end.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use beluga_core::{CancelToken, Numbered, Result, SessionId, TurnId};
use futures_core::Stream;
use serde::{Deserialize, Serialize};

use super::followed::FollowedEvents;
use super::local::LocalEvents;

/// The context key of the cursor in the error that cuts a slow reader off.
pub const CURSOR: &str = "cursor";

/// The events of a session or of one turn, in order of their numbers, each once.
///
/// Pulled: an unread stream costs nothing and blocks nobody. A live reader that falls behind the ring before the step is
/// recorded is cut off with an `overloaded` error that carries its [`CURSOR`]; reading from there again leaves no gap.
/// Dropping it ends the reading, and cancels the turn if it was asked for with `cancel_on_drop`.
///
/// In a cluster it follows its session from node to node: what one does not say any more, the next one does.
pub struct EventStream(Source);

enum Source {
    Local(Box<LocalEvents>),
    Followed(Box<FollowedEvents>),
}

/// Where a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Until {
    /// After the turn's last event.
    TurnEnd,
    /// After this number.
    Number(u64),
    /// Never, unless the session is closed.
    Never,
}

impl EventStream {
    pub(crate) fn followed(events: FollowedEvents) -> Self {
        Self(Source::Followed(Box::new(events)))
    }

    /// Cancels the turn if the stream is dropped before it ended.
    pub(crate) fn cancel_on_drop(self, cancel: CancelToken) -> Self {
        match self.0 {
            Source::Local(events) => Self(Source::Local(Box::new(events.cancel_on_drop(cancel)))),
            Source::Followed(events) => Self(Source::Followed(events)),
        }
    }

    /// Waits for the record of a step it fell behind in, in place of being cut off: for a reader that wants the end.
    pub(crate) fn patient(self) -> Self {
        match self.0 {
            Source::Local(events) => Self(Source::Local(Box::new(events.patient()))),
            // It reads on where it was cut off.
            Source::Followed(events) => Self(Source::Followed(events)),
        }
    }

    /// Returns the session.
    #[must_use]
    pub fn session(&self) -> &SessionId {
        match &self.0 {
            Source::Local(events) => events.session(),
            Source::Followed(events) => events.session(),
        }
    }

    /// Returns the turn, if the stream follows one.
    #[must_use]
    pub fn turn(&self) -> Option<&TurnId> {
        match &self.0 {
            Source::Local(events) => events.turn(),
            Source::Followed(events) => events.turn(),
        }
    }

    /// Returns the number of the last event handed out: where to resume.
    #[must_use]
    pub fn cursor(&self) -> u64 {
        match &self.0 {
            Source::Local(events) => events.cursor(),
            Source::Followed(events) => events.cursor(),
        }
    }
}

impl From<LocalEvents> for EventStream {
    fn from(events: LocalEvents) -> Self {
        Self(Source::Local(Box::new(events)))
    }
}

impl Stream for EventStream {
    type Item = Result<Numbered>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut self.0 {
            Source::Local(events) => Pin::new(&mut **events).poll_next(cx),
            Source::Followed(events) => Pin::new(&mut **events).poll_next(cx),
        }
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Local(events) => events.fmt(f),
            Source::Followed(events) => events.fmt(f),
        }
    }
}
