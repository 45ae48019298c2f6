//! The live end of a session's events: a bounded ring that any number of readers pull from.
//!
//! A reader holds a cursor, never a queue, so a slow or silent one costs nothing and blocks nobody. What has left the
//! ring is read from the journal; what left it before it was recorded is gone until its step is recorded, and a live
//! reader that fell that far behind is cut off with its cursor.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use beluga_core::{CallContext, Error, ErrorRecord, Numbered, TurnId};
use parking_lot::Mutex;
use slab::Slab;

use super::turn::TimeShares;

/// The most events the ring holds; the oldest leaves first.
pub(crate) const RING_MAX_EVENTS: usize = 1024;

/// How many places an empty ring keeps; more are given back.
const RING_KEPT: usize = 8;

/// The most bytes of event text the ring holds; the oldest event leaves first.
pub(crate) const RING_MAX_BYTES: usize = 256 * 1024;

/// The live end of one session. Outlives incarnations of the session's actor, so readers do too.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ring: VecDeque<Arc<Numbered>>,
    ring_bytes: usize,
    /// The highest number that is no longer, or never was, in the ring.
    dropped: u64,
    /// The highest number the journal holds.
    recorded: u64,
    /// The highest number ever published.
    last: u64,
    readers: usize,
    wakers: Slab<Waker>,
    closed: Option<ErrorRecord>,
    /// Where turns begin: (number before the first, version). Shared by readers to find their place in the journal.
    index: Arc<Vec<(u64, u64)>>,
    /// The turn that runs and the call it runs for: what a turn resumed in this process goes on under.
    call: Option<(TurnId, CallContext, Option<TimeShares>)>,
}

/// What a reader finds after its cursor.
#[derive(Debug)]
pub(crate) enum Next {
    /// The next event.
    Event(Arc<Numbered>),
    /// It left the ring and is in the journal.
    InJournal,
    /// It left the ring before it was recorded.
    Lost,
    /// There will be no more.
    Closed(Error),
}

impl Hub {
    /// Tells where the journal stands, when the session's actor has read it.
    pub(crate) fn synchronise(&self, recorded: u64, index: Vec<(u64, u64)>) {
        self.change(|state| {
            state.recorded = state.recorded.max(recorded);
            state.last = state.last.max(recorded);
            state.index = Arc::new(index);
            if state.ring.is_empty() {
                state.dropped = state.dropped.max(recorded);
            }
            state.closed = None;
        });
    }

    /// Publishes one event. Never waits.
    pub(crate) fn publish(&self, event: Numbered) {
        let event = Arc::new(event);
        self.change(|state| state.push(event));
    }

    /// Publishes what a group made durable: where a turn begins (the number before its first event, the group's version),
    /// events, and that the journal now holds everything up to `recorded`.
    pub(crate) fn commit(&self, turn: Option<(u64, u64)>, events: Vec<Arc<Numbered>>, recorded: u64) {
        self.change(|state| {
            if let Some(turn) = turn {
                Arc::make_mut(&mut state.index).push(turn);
            }
            events.into_iter().for_each(|event| state.push(event));
            state.record(recorded);
        });
    }

    /// Ends every reader with an error; a later [`synchronise`](Self::synchronise) opens the hub again.
    pub(crate) fn close(&self, error: &Error) {
        self.change(|state| state.closed = Some(ErrorRecord::from(error)));
    }

    /// Notes the call a turn runs for.
    pub(crate) fn note_call(&self, turn: &TurnId, context: &CallContext, shares: Option<TimeShares>) {
        self.state.lock().call = Some((turn.clone(), context.clone(), shares));
    }

    /// Returns the call a turn runs for, if it began in this process.
    pub(crate) fn call_of(&self, turn: &TurnId) -> Option<(CallContext, Option<TimeShares>)> {
        let state = self.state.lock();
        let call = state.call.as_ref().filter(|(noted, ..)| noted == turn);
        call.map(|(_, context, shares)| (context.clone(), *shares))
    }

    /// Forgets the call: its turn is over.
    pub(crate) fn forget_call(&self) {
        self.state.lock().call = None;
    }

    /// Returns the highest number ever published or recorded.
    pub(crate) fn last(&self) -> u64 {
        self.state.lock().last
    }

    /// Returns the highest number the journal holds.
    pub(crate) fn recorded(&self) -> u64 {
        self.state.lock().recorded
    }

    /// Returns the number up to which events after `cursor` have left the ring unrecorded, if any have.
    pub(crate) fn lost_after(&self, cursor: u64) -> Option<u64> {
        let state = self.state.lock();
        (cursor < state.dropped && state.recorded < state.dropped && state.closed.is_none()).then_some(state.dropped)
    }

    /// Returns where turns begin.
    pub(crate) fn index(&self) -> Arc<Vec<(u64, u64)>> {
        Arc::clone(&self.state.lock().index)
    }

    /// Registers a reader.
    pub(crate) fn subscribe(self: &Arc<Self>) -> Reader {
        self.state.lock().readers += 1;
        Reader { hub: Arc::clone(self), key: None }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let wakers: Vec<Waker> = {
            let mut state = self.state.lock();
            change(&mut state);
            if state.wakers.is_empty() {
                return;
            }
            state.wakers.drain().collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl State {
    fn push(&mut self, event: Arc<Numbered>) {
        self.last = event.number;
        self.ring_bytes += weight(&event);
        self.ring.push_back(event);
        while self.ring.len() > RING_MAX_EVENTS || self.ring_bytes > RING_MAX_BYTES {
            if !self.drop_oldest() {
                break;
            }
        }
    }

    fn record(&mut self, number: u64) {
        self.recorded = self.recorded.max(number);
        if self.readers == 0 {
            while self.ring.front().is_some_and(|event| event.number <= number) {
                self.drop_oldest();
            }
            if self.ring.capacity() > RING_KEPT {
                self.ring.shrink_to(0);
            }
        }
    }

    fn drop_oldest(&mut self) -> bool {
        let Some(event) = self.ring.pop_front() else { return false };
        self.ring_bytes = self.ring_bytes.saturating_sub(weight(&event));
        self.dropped = self.dropped.max(event.number);
        true
    }

    fn next(&self, cursor: u64) -> Option<Next> {
        if cursor < self.dropped {
            return Some(if cursor < self.recorded { Next::InJournal } else { Next::Lost });
        }
        // Numbers only rise: not more events than numbers follow the cursor, and mostly as many.
        let after = usize::try_from(self.last.saturating_sub(cursor)).unwrap_or(usize::MAX);
        let guess = self.ring.len().saturating_sub(after);
        let position = match self.ring.get(guess) {
            Some(event) if event.number <= cursor => self.ring.partition_point(|event| event.number <= cursor),
            _ => guess,
        };
        if let Some(event) = self.ring.get(position) {
            return Some(Next::Event(Arc::clone(event)));
        }
        self.closed.as_ref().map(|error| Next::Closed(Error::from(error.clone())))
    }
}

fn weight(event: &Numbered) -> usize {
    use beluga_core::Event;
    let text = match &event.event {
        Event::Text { text } | Event::Thinking { text } => text.len(),
        Event::ToolCall { arguments, .. } | Event::Approval { arguments, .. } => arguments.len(),
        Event::ToolResult { content, .. } => content.len(),
        Event::Done { result, .. } => result.len(),
        _ => 0,
    };
    size_of::<Numbered>() + text
}

/// One reader's place in the list of those to wake.
#[derive(Debug)]
pub(crate) struct Reader {
    hub: Arc<Hub>,
    key: Option<usize>,
}

impl Reader {
    /// Returns the hub.
    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Returns what comes after `cursor`, or registers to be woken.
    pub(crate) fn poll_next(&mut self, cursor: u64, cx: &mut Context<'_>) -> Poll<Next> {
        let mut state = self.hub.state.lock();
        if let Some(next) = state.next(cursor) {
            return Poll::Ready(next);
        }
        register(&mut state.wakers, &mut self.key, cx);
        Poll::Pending
    }

    /// Is ready once the journal holds `number`, or the hub is closed.
    pub(crate) fn poll_recorded(&mut self, number: u64, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.hub.state.lock();
        if state.recorded >= number || state.closed.is_some() {
            return Poll::Ready(());
        }
        register(&mut state.wakers, &mut self.key, cx);
        Poll::Pending
    }
}

/// Every change drains all wakers, so a key may be stale or belong to another reader by now: a waker that would wake
/// the same task is replaced, anything else is left alone and a new entry made.
fn register(wakers: &mut Slab<Waker>, key: &mut Option<usize>, cx: &Context<'_>) {
    if let Some(waker) = key.and_then(|key| wakers.get_mut(key))
        && waker.will_wake(cx.waker())
    {
        return;
    }
    *key = Some(wakers.insert(cx.waker().clone()));
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.hub.state.lock();
        state.readers = state.readers.saturating_sub(1);
        if state.readers == 0 {
            state.wakers.clear();
            let recorded = state.recorded;
            while state.ring.front().is_some_and(|event| event.number <= recorded) {
                state.drop_oldest();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use beluga_core::{AgentName, Event, TurnId};
    use std::task::Waker;

    fn event(number: u64, text: &str) -> Numbered {
        Numbered {
            number,
            turn: TurnId::parse("t1").unwrap(),
            agent: AgentName::parse("a").unwrap(),
            at_ms: 0,
            meta: beluga_core::Meta::default(),
            event: Event::Text { text: text.into() },
        }
    }

    fn poll(reader: &mut Reader, cursor: u64) -> Poll<Next> {
        reader.poll_next(cursor, &mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_reader_pulls_events_in_order() {
        let hub = Arc::new(Hub::default());
        let mut reader = hub.subscribe();
        hub.publish(event(3, "a"));
        hub.publish(event(7, "b"));
        assert!(matches!(poll(&mut reader, 0), Poll::Ready(Next::Event(e)) if e.number == 3));
        assert!(matches!(poll(&mut reader, 3), Poll::Ready(Next::Event(e)) if e.number == 7));
        assert!(poll(&mut reader, 7).is_pending());
    }

    #[test]
    fn the_ring_is_bounded_and_says_what_was_lost() {
        let hub = Arc::new(Hub::default());
        let mut reader = hub.subscribe();
        for number in 1..=(RING_MAX_EVENTS as u64 + 10) {
            hub.publish(event(number, "x"));
        }
        assert!(matches!(poll(&mut reader, 0), Poll::Ready(Next::Lost)));
        assert!(matches!(poll(&mut reader, 10), Poll::Ready(Next::Event(e)) if e.number == 11));
        hub.commit(None, Vec::new(), 20);
        assert!(matches!(poll(&mut reader, 5), Poll::Ready(Next::InJournal)));
        let large = "y".repeat(RING_MAX_BYTES);
        hub.publish(event(5000, &large));
        assert!(hub.state.lock().ring.len() <= 1);
    }

    #[test]
    fn recorded_events_leave_when_nobody_reads() {
        let hub = Arc::new(Hub::default());
        let reader = hub.subscribe();
        hub.publish(event(1, "a"));
        hub.commit(None, Vec::new(), 1);
        assert_eq!(hub.state.lock().ring.len(), 1);
        drop(reader);
        assert_eq!(hub.state.lock().ring.len(), 0);
        let mut late = hub.subscribe();
        assert!(matches!(poll(&mut late, 0), Poll::Ready(Next::InJournal)));
        assert!(poll(&mut late, 1).is_pending());
    }

    #[test]
    fn closing_ends_readers_after_what_is_there() {
        let hub = Arc::new(Hub::default());
        let mut reader = hub.subscribe();
        hub.publish(event(1, "a"));
        hub.close(&Error::unavailable("stopped"));
        assert!(matches!(poll(&mut reader, 0), Poll::Ready(Next::Event(_))));
        assert!(matches!(poll(&mut reader, 1), Poll::Ready(Next::Closed(_))));
    }
}
