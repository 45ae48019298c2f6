//! The mailbox of a slot: four bounded lanes and the kernel's signals. It outlives every incarnation.
//!
//! One lock guards everything that must change together: the queues, the door, whether the drain sleeps, who waits for
//! a place. The drain takes ordinary messages out in batches, so it locks once per [`BATCH`] of them; what it took still
//! counts against the bound until it comes for more or a handler awaits (a lane shorter than two batches is taken one by
//! one, and its bound is exact), and the drain's guard puts back what it has not handled when an incarnation ends.
//!
//! Why nothing is lost. A sender pushes and looks at `parked` under the lock; the drain looks at the queues and sets
//! `parked` under the same lock. Either the sender's push comes first and the drain sees the message, or the drain
//! parked first and the sender wakes it. The same holds for the door: [`Mailbox::close_if_empty`] shuts it in the same
//! critical section in which it sees every queue empty, so a racing sender either pushed before (then closing fails)
//! or meets the shut door and keeps its envelope. A waiter registers in the critical section in which it saw the
//! lane full, and places become free only in a critical section (the next batch) that wakes every waiter.

mod inner;
mod settings;
mod signal;
#[cfg(test)]
mod tests;

use std::task::Waker;
use std::time::{Duration, Instant};

use crate::envelope::Envelope;
use crate::message::Lane;
use crate::sync::{AtomicU16, BriefGuard, BriefMutex, Ordering};

pub(crate) use inner::Batch;
use inner::{Door, Inner, Parked};
pub use settings::{LaneSettings, Lanes, Overflow};
pub(crate) use signal::{Signal, Stop};

/// How many ordinary messages the drain takes out at once.
pub(crate) const BATCH: usize = 32;

/// How many normal messages are served for one of bulk.
const NORMAL_PER_BULK: u8 = 8;

/// Bits of [`Mailbox::hint`]: one per lane, then these. Written under the lock, read without it as a hint.
const SIGNAL: u16 = 1 << 4;
const PAUSED: u16 = 1 << 5;
const BUSY: u16 = 1 << 6;
const HELD: u16 = 1 << 7;
const SUSPENDED: u16 = 1 << 8;
const FAULTY: u16 = 1 << 9;
/// What the fast path of the drain does not see to.
const URGENT: u16 = SIGNAL | PAUSED | HELD | SUSPENDED | bit(Lane::Control) | bit(Lane::Interrupt);

const fn bit(lane: Lane) -> u16 {
    1 << lane as u8
}

/// Why a mailbox did not take an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The lane is full.
    Full,
    /// Its oldest message has waited for longer than this.
    Late(Duration),
    /// The gate is open until then: the actor's restarts are used up.
    Gated(Instant),
    /// The actor is ending or gone.
    Closed,
}

type Guard<'a> = BriefGuard<'a, Inner>;

/// What the drain does next.
pub(crate) enum Next {
    Signal(Signal),
    Message(Envelope),
    /// Nothing is there, and the drain is asleep: it must return to its caller until it is woken.
    Parked,
    /// Nothing is there, and the drain did not ask to sleep.
    Empty,
}

pub(crate) struct Mailbox {
    hint: AtomicU16,
    inner: BriefMutex<Inner>,
}

impl Mailbox {
    pub(crate) fn new(settings: Lanes) -> Self {
        Self { hint: AtomicU16::new(0), inner: BriefMutex::new(Inner::new(settings)) }
    }

    /// Puts an envelope into its lane if nothing at all is to be said about it, or gives it back.
    ///
    /// What [`offer`](Self::offer) does with most, for those who hurry.
    #[inline]
    pub(crate) fn push(&self, lane: Lane, envelope: Envelope) -> Result<(), Envelope> {
        let mut inner = self.inner.lock();
        let is_open = inner.door == Door::Open;
        let places = inner.lane(lane);
        if !is_open || places.is_full() || matches!(places.settings.overflow, Overflow::Shed { .. }) {
            return Err(envelope);
        }
        self.take_in(inner, lane, envelope);
        Ok(())
    }

    /// Puts an envelope into its lane, and wakes a drain that sleeps.
    #[inline]
    fn take_in(&self, mut inner: Guard<'_>, lane: Lane, envelope: Envelope) {
        inner.lane(lane).queue.push_back(envelope);
        self.raise(bit(lane));
        if inner.parked == Parked::Idle {
            // The sender has read the clock for it. Nobody has for a drain that is woken otherwise.
            self.raise(BUSY);
            self.wake(inner);
        }
    }

    /// Puts an envelope into its lane, or gives it back. `Ok(Some(_))` is a message the overflow policy dropped.
    ///
    /// With a `waiter`, a full lane of policy [`Overflow::Wait`] registers it in the same critical section; its key
    /// must be given to [`forget_waiter`](Self::forget_waiter) when the sender leaves.
    pub(crate) fn offer(
        &self,
        lane: Lane,
        envelope: Envelope,
        waiter: Option<(&mut Option<u64>, &Waker)>,
    ) -> Result<Option<Envelope>, (Refusal, Envelope)> {
        let mut inner = self.inner.lock();
        match inner.door {
            Door::Open => {}
            Door::Gated(until) => return Err((Refusal::Gated(until), envelope)),
            Door::Closed => return Err((Refusal::Closed, envelope)),
        }
        let places = inner.lane(lane);
        let mut dropped = None;
        if let Overflow::Shed { after } = places.settings.overflow
            && places.has_waited(after, envelope.head().sent_ns)
        {
            return Err((Refusal::Late(after), envelope));
        }
        if places.is_full() {
            match places.settings.overflow {
                Overflow::Shed { after } => return Err((Refusal::Late(after), envelope)),
                Overflow::DropNewest => return Ok(Some(envelope)),
                Overflow::DropOldest => dropped = places.queue.pop_front(),
                Overflow::Reject => return Err((Refusal::Full, envelope)),
                Overflow::Wait => {
                    if let Some((key, waker)) = waiter {
                        inner.register(key, lane, waker);
                    }
                    return Err((Refusal::Full, envelope));
                }
            }
        }
        self.take_in(inner, lane, envelope);
        Ok(dropped)
    }

    /// Wakes the drain, without the lock: whoever it is, it will want it.
    #[inline]
    fn wake(&self, mut inner: Guard<'_>) {
        if inner.parked == Parked::Running {
            return;
        }
        inner.parked = Parked::Running;
        let waker = inner.waker.clone();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Forgets a waiter that left.
    pub(crate) fn forget_waiter(&self, key: u64) {
        self.inner.lock().waiters.remove(&key);
    }

    /// Gives the drain a word. Accepted also with the door shut, because exits of children must arrive; but not once the
    /// mailbox was emptied for good: nobody takes it out any more, and what it names would never be freed.
    pub(crate) fn signal(&self, signal: Signal) {
        let mut inner = self.inner.lock();
        if inner.is_over {
            drop(inner);
            return drop(signal);
        }
        inner.signals.push_back(signal);
        self.raise(SIGNAL);
        self.wake(inner);
    }

    /// Takes the next thing to do; if there is none the drain sleeps, unless it only empties its lanes. Only the drain
    /// calls it.
    #[inline]
    pub(crate) fn next(&self, batch: &mut Batch, waker: &Waker, emptying: bool) -> Next {
        let hint = self.hint.load(Ordering::Relaxed);
        if hint & URGENT == 0 && !batch.is_empty() {
            let bulk_turn = batch.is_bulk_turn();
            if !bulk_turn && let Some(envelope) = self.take(batch, Lane::Normal) {
                return Next::Message(envelope);
            }
            let only_bulk = hint & bit(Lane::Normal) == 0;
            if (bulk_turn || only_bulk)
                && let Some(envelope) = self.take(batch, Lane::Bulk)
            {
                return Next::Message(envelope);
            }
        }
        self.next_locked(batch, waker, emptying)
    }

    /// The slow path: looks at everything under the lock, refills the batch, or goes to sleep in the same step.
    fn next_locked(&self, batch: &mut Batch, waker: &Waker, emptying: bool) -> Next {
        let mut inner = self.inner.lock();
        if self.hint.load(Ordering::Relaxed) & (URGENT | bit(Lane::Bulk)) != 0
            || !inner.waiters.is_empty()
            || inner.lane(Lane::Bulk).taken > 0
            || !batch.is_empty()
        {
            drop(inner);
            return self.next_of_all(batch, waker, emptying);
        }
        // Nothing but normal messages, if anything: what most drains meet most of the time.
        inner.parked = Parked::Running;
        let places = inner.lane(Lane::Normal);
        if places.queue.len() > 1 {
            places.refill(&mut batch.normal);
            self.lower(bit(Lane::Normal), places.queue.is_empty());
            drop(inner);
            let Some(envelope) = self.take(batch, Lane::Normal) else {
                return self.next_of_all(batch, waker, emptying);
            };
            return Next::Message(envelope);
        }
        places.taken = 0;
        // One alone is handled at once, and counts no longer.
        if let Some(envelope) = places.queue.pop_front() {
            self.lower(bit(Lane::Normal), true);
            batch.normals_in_a_row = batch.normals_in_a_row.saturating_add(1);
            return Next::Message(envelope);
        }
        places.shrink(&mut batch.normal);
        if emptying {
            return Next::Empty;
        }
        inner.park(Parked::Idle, waker);
        self.lower(BUSY, true);
        Next::Parked
    }

    /// As [`next`](Self::next), whatever there is.
    fn next_of_all(&self, batch: &mut Batch, waker: &Waker, emptying: bool) -> Next {
        let mut freed = Vec::new();
        let urgent = {
            let mut inner = self.inner.lock();
            inner.parked = Parked::Running;
            if self.hint.load(Ordering::Relaxed) & PAUSED != 0 {
                inner.park(Parked::Awaiting, waker);
                self.lower(BUSY, true);
                return Next::Parked;
            }
            if let Some(signal) = inner.signals.pop_front() {
                self.lower(SIGNAL, inner.signals.is_empty());
                return Next::Signal(signal);
            }
            if self.is_suspended() {
                self.park_with(&mut inner, batch, waker);
                return Next::Parked;
            }
            let hint = self.hint.load(Ordering::Relaxed);
            let urgent = if hint & URGENT == 0 { None } else { self.take_urgent(&mut inner, &mut freed) };
            if urgent.is_none() && hint & HELD != 0 {
                inner.note_hands(batch);
                inner.park(Parked::Idle, waker);
                self.lower(BUSY, true);
                return Next::Parked;
            }
            if urgent.is_none() {
                for lane in [Lane::Normal, Lane::Bulk] {
                    self.refill(&mut inner, batch, lane, &mut freed);
                }
                if batch.is_empty() && !emptying {
                    inner.park(Parked::Idle, waker);
                    self.lower(BUSY, true);
                }
            }
            urgent
        };
        freed.into_iter().for_each(Waker::wake);
        if let Some(envelope) = urgent {
            return Next::Message(envelope);
        }
        let lanes = if batch.is_bulk_turn() { [Lane::Bulk, Lane::Normal] } else { [Lane::Normal, Lane::Bulk] };
        match lanes.into_iter().find_map(|lane| self.take(batch, lane)) {
            Some(envelope) => Next::Message(envelope),
            None if emptying => Next::Empty,
            None => Next::Parked,
        }
    }

    fn take_urgent(&self, inner: &mut Inner, freed: &mut Vec<Waker>) -> Option<Envelope> {
        [Lane::Control, Lane::Interrupt].into_iter().find_map(|lane| {
            let places = inner.lane(lane);
            let envelope = places.queue.pop_front()?;
            if places.queue.is_empty() {
                // Urgent messages are rare: an idle actor keeps no room for them.
                places.queue = std::collections::VecDeque::new();
                self.lower(bit(lane), true);
            }
            self.free_places(inner, lane, freed);
            Some(envelope)
        })
    }

    /// Takes the next word of the kernel while a handler awaits.
    pub(crate) fn next_signal(&self) -> Option<Signal> {
        if self.hint.load(Ordering::Relaxed) & SIGNAL == 0 {
            return None;
        }
        let mut inner = self.inner.lock();
        let signal = inner.signals.pop_front();
        self.lower(SIGNAL, inner.signals.is_empty());
        signal
    }

    /// Asks to be woken once the test kit lets the actor go on. Returns false, and does not, if it has.
    pub(crate) fn park_paused(&self, batch: &Batch, waker: &Waker) -> bool {
        let mut inner = self.inner.lock();
        if !self.is_paused() {
            return false;
        }
        self.park_with(&mut inner, batch, waker);
        true
    }

    /// Asks to be woken by signals while a handler awaits, and says what the drain holds. Returns false, and does not,
    /// if one is there.
    pub(crate) fn park_awaiting(&self, batch: &Batch, waker: &Waker) -> bool {
        let mut inner = self.inner.lock();
        if !inner.signals.is_empty() && self.hint.load(Ordering::Relaxed) & PAUSED == 0 {
            return false;
        }
        self.park_with(&mut inner, batch, waker);
        true
    }

    /// Sleeps until a signal comes, and writes down what the drain holds meanwhile.
    fn park_with(&self, inner: &mut Inner, batch: &Batch, waker: &Waker) {
        inner.note_hands(batch);
        inner.park(Parked::Awaiting, waker);
        self.lower(BUSY, true);
    }

    /// Returns whether the drain seems to work, so that it has read the clock lately; else a sender reads it.
    pub(crate) fn is_busy(&self) -> bool {
        self.hint.load(Ordering::Relaxed) & BUSY != 0
    }

    /// Returns whether something is to happen to messages on purpose.
    pub(crate) fn is_faulty(&self) -> bool {
        self.hint.load(Ordering::Relaxed) & FAULTY != 0
    }

    /// Says whether something is to happen to messages on purpose.
    pub(crate) fn set_faulty(&self, faulty: bool) {
        let _inner = self.inner.lock();
        if faulty {
            self.raise(FAULTY);
        } else {
            self.lower(FAULTY, true);
        }
    }

    /// Returns whether the test kit holds the actor.
    pub(crate) fn is_paused(&self) -> bool {
        self.hint.load(Ordering::Relaxed) & PAUSED != 0
    }

    /// Holds the actor where it is, or lets it go on.
    pub(crate) fn set_paused(&self, paused: bool) {
        let inner = self.inner.lock();
        if paused {
            self.raise(PAUSED);
        } else {
            self.lower(PAUSED, true);
        }
        self.wake(inner);
    }

    /// Keeps the normal and the bulk lane waiting, also while they are emptied, or lets them go on. Signals and the
    /// urgent lanes are served in any case: a pool without a free worker holds its queue and still answers.
    pub(crate) fn set_held(&self, held: bool) {
        let inner = self.inner.lock();
        if held {
            self.raise(HELD);
            return;
        }
        self.lower(HELD, true);
        if inner.parked == Parked::Idle {
            self.wake(inner);
        }
    }

    /// Returns whether the messages wait for an operator.
    pub(crate) fn is_suspended(&self) -> bool {
        self.hint.load(Ordering::Relaxed) & SUSPENDED != 0
    }

    /// Gives the drain no message of any lane from now on, or lets it go on. The kernel's words are served as ever, and
    /// what is in hand goes on to its end.
    pub(crate) fn set_suspended(&self, suspended: bool) {
        let inner = self.inner.lock();
        if suspended {
            self.raise(SUSPENDED);
        } else {
            self.lower(SUSPENDED, true);
        }
        self.wake(inner);
    }

    /// Puts back what a drain took and did not handle, and forgets the drain.
    pub(crate) fn put_back(&self, mut batch: Batch) {
        let mut inner = self.inner.lock();
        for lane in [Lane::Normal, Lane::Bulk] {
            let (places, taken) = (inner.lane(lane), batch.of(lane));
            places.note_taken(None, 0);
            if !taken.is_empty() {
                taken.append(&mut places.queue);
                std::mem::swap(&mut places.queue, taken);
                self.raise(bit(lane));
            }
        }
        self.lower(BUSY, true);
        inner.parked = Parked::Running;
        inner.waker = None;
    }

    /// Lets callers see `unavailable` until then, or takes messages again. A closed door stays closed.
    pub(crate) fn gate(&self, until: Option<Instant>) {
        let mut inner = self.inner.lock();
        if inner.door != Door::Closed {
            inner.door = until.map_or(Door::Open, Door::Gated);
        }
        let waiters = inner.take_waiters();
        drop(inner);
        waiters.for_each(Waker::wake);
    }

    /// Shuts the door: what was accepted stays, nothing more comes in.
    pub(crate) fn close(&self) {
        let mut inner = self.inner.lock();
        inner.door = Door::Closed;
        let waiters = inner.take_waiters();
        drop(inner);
        waiters.for_each(Waker::wake);
    }

    /// Shuts the door if nothing at all waits. The decision and the shutting are one step.
    pub(crate) fn close_if_empty(&self, batch: &Batch) -> bool {
        let mut inner = self.inner.lock();
        let busy = !batch.is_empty()
            || !inner.signals.is_empty()
            || !inner.waiters.is_empty()
            || inner.lanes.iter().any(|places| !places.queue.is_empty());
        if busy || inner.door != Door::Open {
            return false;
        }
        inner.door = Door::Closed;
        true
    }

    /// Returns whether the door is shut for good.
    pub(crate) fn is_closed(&self) -> bool {
        self.inner.lock().door == Door::Closed
    }

    /// Forgets what was said to an incarnation that ended.
    pub(crate) fn clear_signals(&self) {
        let mut inner = self.inner.lock();
        let signals = std::mem::take(&mut inner.signals);
        self.lower(SIGNAL, true);
        drop(inner);
        // Dropped outside the lock: a signal may hold the last handle of a slot.
        drop(signals);
    }

    /// Shuts the door and takes out everything that waits, for good. No drain may be alive.
    pub(crate) fn empty(&self) -> Vec<Envelope> {
        let mut inner = self.inner.lock();
        inner.door = Door::Closed;
        inner.is_over = true;
        let mut all = Vec::new();
        for places in &mut inner.lanes {
            places.note_taken(None, 0);
            all.extend(std::mem::take(&mut places.queue));
        }
        let signals = std::mem::take(&mut inner.signals);
        let waiters = inner.take_waiters();
        self.hint.store(0, Ordering::Relaxed);
        drop(inner);
        waiters.for_each(Waker::wake);
        // As in `clear_signals`.
        drop(signals);
        all
    }

    /// Returns how many messages wait in each lane, and when the oldest was sent.
    pub(crate) fn depths(&self) -> ([usize; Lane::COUNT], Option<u64>) {
        let inner = self.inner.lock();
        let [control, interrupt, normal, bulk] = &inner.lanes;
        let depths = [control, interrupt, normal, bulk].map(inner::LaneQueue::depth);
        (depths, inner.lanes.iter().filter_map(inner::LaneQueue::oldest_ns).min())
    }

    /// Returns bound and policy of each lane.
    pub(crate) fn settings(&self) -> Lanes {
        let inner = self.inner.lock();
        let [control, interrupt, normal, bulk] = &inner.lanes;
        Lanes::new([control, interrupt, normal, bulk].map(|places| places.settings))
    }

    /// Replaces bound and policy of one lane. What waits stays, also beyond a lower bound; who waits for a place looks again.
    pub(crate) fn set_lane(&self, lane: Lane, settings: LaneSettings) {
        let waiters = {
            let mut inner = self.inner.lock();
            inner.lane(lane).settings = settings;
            inner.take_waiters()
        };
        waiters.for_each(Waker::wake);
    }

    #[inline]
    fn take(&self, batch: &mut Batch, lane: Lane) -> Option<Envelope> {
        let envelope = batch.of(lane).pop_front()?;
        batch.normals_in_a_row = if lane == Lane::Bulk { 0 } else { batch.normals_in_a_row.saturating_add(1) };
        Some(envelope)
    }

    /// Fills the drain's hands from a lane, if they are empty.
    fn refill(&self, inner: &mut Inner, batch: &mut Batch, lane: Lane, freed: &mut Vec<Waker>) {
        let (places, hands) = (inner.lane(lane), batch.of(lane));
        if !hands.is_empty() || (places.taken == 0 && places.queue.is_empty()) {
            return;
        }
        places.refill(hands);
        self.lower(bit(lane), places.queue.is_empty());
        if hands.is_empty() {
            places.shrink(hands);
        }
        if !inner.waiters.is_empty() {
            self.free_places(inner, lane, freed);
        }
    }

    /// Wakes those who wait for a place, once half of the lane is free. All of them: one that left meanwhile must not
    /// swallow the wake of another. An empty lane is below any half, so nobody waits at an idle drain.
    fn free_places(&self, inner: &mut Inner, lane: Lane, wakers: &mut Vec<Waker>) {
        let places = inner.lane(lane);
        if places.depth() > places.settings.capacity / 2 || inner.waiters.is_empty() {
            return;
        }
        inner.waiters.retain(|_, (waiting, waker)| {
            let stays = *waiting != lane;
            if !stays {
                wakers.push(waker.clone());
            }
            stays
        });
    }

    fn raise(&self, bits: u16) {
        let hint = self.hint.load(Ordering::Relaxed);
        if hint & bits != bits {
            self.hint.store(hint | bits, Ordering::Relaxed);
        }
    }

    fn lower(&self, bits: u16, condition: bool) {
        if condition {
            self.hint.store(self.hint.load(Ordering::Relaxed) & !bits, Ordering::Relaxed);
        }
    }
}
