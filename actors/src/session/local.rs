//! The events of a session that is on this node: from its hub, and what left the hub from the journal.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use beluga_core::{BoxFuture, CancelToken, Error, Group, Journal, Numbered, Result, SessionId, StreamKey, TurnId};
use futures_core::Stream;

use super::history::History;
use super::hub::{Next, Reader};
use super::origin::Beginning;
use super::record::GroupBody;
use super::stream::{CURSOR, Until};

/// How many groups one read brings.
const GROUPS_PER_READ: usize = 64;

/// The events of a session on this node.
pub(crate) struct LocalEvents {
    session: SessionId,
    turn: Option<TurnId>,
    cursor: u64,
    until: Until,
    reader: Reader,
    journal: Arc<dyn Journal>,
    stream: StreamKey,
    /// Of the turn that is read; reading starts where one does.
    beginning: Beginning,
    phase: Phase,
    cancel: Option<CancelToken>,
    /// Whether it waits for the record when it fell behind, in place of being cut off.
    patient: bool,
}

enum Phase {
    /// Following the ring.
    Live,
    /// Reading groups from a version on; at the end everything up to `covered` was seen.
    Reading { covered: u64, read: BoxFuture<'static, Result<Vec<Group>>> },
    /// Handing out what was read. `more` holds the version to go on at.
    Batch { covered: u64, events: std::vec::IntoIter<Numbered>, more: Option<u64> },
    /// Waiting until a step that left the ring is recorded.
    Waiting { number: u64 },
    /// Over.
    Ended,
}

impl LocalEvents {
    pub(crate) fn new(
        session: SessionId,
        turn: Option<TurnId>,
        after: u64,
        until: Until,
        reader: Reader,
        journal: Arc<dyn Journal>,
        stream: StreamKey,
    ) -> Self {
        let hub = reader.hub();
        // One that comes back where it was cut off waits for the record, or it would be cut off again and again.
        let phase = match hub.lost_after(after) {
            Some(number) if hub.recorded() <= after => Phase::Waiting { number },
            _ => Phase::Live,
        };
        Self {
            session,
            turn,
            cursor: after,
            until,
            reader,
            journal,
            stream,
            beginning: Beginning::default(),
            phase,
            cancel: None,
            patient: false,
        }
    }

    /// Cancels the turn if the stream is dropped before it ended.
    pub(crate) fn cancel_on_drop(mut self, cancel: CancelToken) -> Self {
        self.cancel = Some(cancel);
        self
    }

    /// Waits for the record of a step it fell behind in, in place of being cut off: for a reader that wants the end.
    pub(crate) fn patient(mut self) -> Self {
        self.patient = true;
        self
    }

    /// Returns the session.
    pub(crate) fn session(&self) -> &SessionId {
        &self.session
    }

    /// Returns the turn, if the stream follows one.
    pub(crate) fn turn(&self) -> Option<&TurnId> {
        self.turn.as_ref()
    }

    /// Returns the number of the last event handed out: where to resume.
    pub(crate) fn cursor(&self) -> u64 {
        self.cursor
    }

    fn end(&mut self) {
        self.phase = Phase::Ended;
        self.cancel = None;
    }

    fn hand_out(&mut self, event: Numbered) -> Option<Result<Numbered>> {
        self.cursor = event.number;
        if self.turn.as_ref().is_some_and(|turn| *turn != event.turn) {
            return None;
        }
        if self.until == Until::TurnEnd && event.event.is_terminal() {
            self.end();
        }
        Some(Ok(event))
    }

    fn start_reading(&mut self) {
        let hub = self.reader.hub();
        let covered = hub.recorded();
        let from = History::version_after(&hub.index(), self.cursor);
        self.phase = Phase::Reading { covered, read: self.journal.read(self.stream.clone(), from, GROUPS_PER_READ) };
    }

    fn poll_live(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Numbered>>> {
        match ready!(self.reader.poll_next(self.cursor, cx)) {
            Next::Event(event) => Poll::Ready(self.hand_out(Arc::unwrap_or_clone(event))),
            Next::InJournal => {
                self.start_reading();
                Poll::Ready(None)
            }
            Next::Lost if self.patient => {
                let number = self.reader.hub().lost_after(self.cursor).unwrap_or(self.cursor);
                self.phase = Phase::Waiting { number };
                Poll::Ready(None)
            }
            Next::Lost => {
                let cursor = self.cursor;
                self.end();
                Poll::Ready(Some(Err(
                    Error::overloaded("the reader fell behind; read on from the cursor").with(CURSOR, cursor)
                )))
            }
            Next::Closed(error) => {
                self.end();
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn take_groups(&mut self, covered: u64, groups: &[Group]) -> Result<()> {
        let mut events = Vec::new();
        for group in groups {
            events.extend(GroupBody::decode(&group.payload)?.events(self.cursor, &mut self.beginning));
        }
        let more = groups.last().filter(|_| groups.len() == GROUPS_PER_READ).map(|group| group.version + 1);
        self.phase = Phase::Batch { covered, events: events.into_iter(), more };
        Ok(())
    }

    fn finish_batch(&mut self, covered: u64, more: Option<u64>) {
        if let Some(from) = more {
            let read = self.journal.read(self.stream.clone(), from, GROUPS_PER_READ);
            self.phase = Phase::Reading { covered, read };
            return;
        }
        self.cursor = self.cursor.max(covered);
        // A step that left the ring unrecorded is waited for: a fresh reader was promised no gap.
        self.phase = Phase::Live;
        let hub = self.reader.hub();
        if let Some(number) = hub.lost_after(self.cursor) {
            self.phase = Phase::Waiting { number };
        }
    }
}

impl Stream for LocalEvents {
    type Item = Result<Numbered>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Until::Number(last) = this.until
                && this.cursor >= last
                && matches!(this.phase, Phase::Live | Phase::Waiting { .. })
            {
                this.end();
            }
            match &mut this.phase {
                Phase::Ended => return Poll::Ready(None),
                Phase::Live => {
                    if let Some(item) = ready!(this.poll_live(cx)) {
                        return Poll::Ready(Some(item));
                    }
                }
                Phase::Reading { covered, read } => {
                    let covered = *covered;
                    let groups = match ready!(read.as_mut().poll(cx)) {
                        Ok(groups) => groups,
                        Err(error) => {
                            this.end();
                            return Poll::Ready(Some(Err(error)));
                        }
                    };
                    if let Err(error) = this.take_groups(covered, &groups) {
                        this.end();
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                Phase::Batch { covered, events, more } => match events.next() {
                    Some(event) => {
                        if let Some(item) = this.hand_out(event) {
                            return Poll::Ready(Some(item));
                        }
                    }
                    None => {
                        let (covered, more) = (*covered, *more);
                        this.finish_batch(covered, more);
                    }
                },
                Phase::Waiting { number } => {
                    let number = *number;
                    ready!(this.reader.poll_recorded(number, cx));
                    this.start_reading();
                }
            }
        }
    }
}

impl Drop for LocalEvents {
    fn drop(&mut self) {
        if let Some(cancel) = self.cancel.take() {
            cancel.cancel();
        }
    }
}

impl fmt::Debug for LocalEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalEvents")
            .field("session", &self.session)
            .field("turn", &self.turn)
            .field("cursor", &self.cursor)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}
