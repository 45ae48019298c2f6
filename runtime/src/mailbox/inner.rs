//! What one lock of a mailbox guards, and the batch its drain holds.

use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::settings::{LaneSettings, Lanes, Overflow};
use super::signal::Signal;
use super::{BATCH, NORMAL_PER_BULK};
use crate::envelope::Envelope;
use crate::message::Lane;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Door {
    #[default]
    Open,
    Gated(Instant),
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Parked {
    /// Nobody is to be woken.
    #[default]
    Running,
    /// Everything wakes.
    Idle,
    /// Only signals wake: a handler awaits.
    Awaiting,
}

pub(super) struct Inner {
    pub(super) door: Door,
    pub(super) parked: Parked,
    pub(super) waker: Option<Waker>,
    pub(super) lanes: [LaneQueue; Lane::COUNT],
    pub(super) signals: VecDeque<Signal>,
    /// Whether no drain will come any more.
    pub(super) is_over: bool,
    pub(super) waiters: BTreeMap<u64, (Lane, Waker)>,
    pub(super) next_waiter: u64,
}

/// One lane: what waits here, and what the drain took out and has not handled.
pub(super) struct LaneQueue {
    pub(super) settings: LaneSettings,
    pub(super) queue: VecDeque<Envelope>,
    /// How many messages the drain holds, as of its last word: while it works it holds fewer.
    pub(super) taken: usize,
    /// When the oldest of these was sent.
    pub(super) taken_sent_ns: u64,
}

impl LaneQueue {
    /// Returns how many messages count against the bound.
    pub(super) fn depth(&self) -> usize {
        self.queue.len() + self.taken
    }

    pub(super) fn is_full(&self) -> bool {
        self.depth() >= self.settings.capacity
    }

    /// Returns how many messages the drain takes at once: of a short lane, and of one whose oldest a sender may drop,
    /// one, so that what is in the drain's hands never matters to the bound.
    pub(super) fn stride(&self) -> usize {
        let is_short = self.settings.capacity < 2 * BATCH;
        if is_short || self.settings.overflow == Overflow::DropOldest { 1 } else { BATCH }
    }

    /// Moves the next messages into the drain's empty hands.
    pub(super) fn refill(&mut self, hands: &mut VecDeque<Envelope>) {
        let stride = self.stride();
        if self.queue.len() <= stride {
            std::mem::swap(&mut self.queue, hands);
        } else {
            hands.extend(self.queue.drain(..stride));
        }
        // One alone is handled at once.
        self.note_taken(if stride == 1 { None } else { hands.front() }, hands.len());
    }

    /// Writes down what the drain holds.
    pub(super) fn note_taken(&mut self, first: Option<&Envelope>, count: usize) {
        self.taken = if first.is_some() { count } else { 0 };
        self.taken_sent_ns = first.map_or(0, |first| first.head().sent_ns);
    }

    /// Returns when the oldest message was sent.
    pub(super) fn oldest_ns(&self) -> Option<u64> {
        if self.taken > 0 { Some(self.taken_sent_ns) } else { self.queue.front().map(|front| front.head().sent_ns) }
    }

    /// Returns whether the oldest message has waited for longer.
    pub(super) fn has_waited(&self, longer: Duration, now_ns: u64) -> bool {
        let waited_ns = self.oldest_ns().map_or(0, |sent_ns| now_ns.saturating_sub(sent_ns));
        Duration::from_nanos(waited_ns) > longer
    }

    /// Gives back the room of a burst that is over.
    pub(super) fn shrink(&mut self, hands: &mut VecDeque<Envelope>) {
        for queue in [&mut self.queue, hands] {
            if queue.capacity() > ROOM_KEPT && queue.is_empty() {
                *queue = VecDeque::new();
            }
        }
    }
}

/// How many places an idle lane keeps.
const ROOM_KEPT: usize = 2 * BATCH;

/// The messages a drain took out and has not handled.
#[derive(Default)]
pub(crate) struct Batch {
    pub(super) normal: VecDeque<Envelope>,
    pub(super) bulk: VecDeque<Envelope>,
    pub(super) normals_in_a_row: u8,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.normal.is_empty() && self.bulk.is_empty()
    }

    /// Puts back what a handler has not come to. Of an urgent lane it is first among the normal ones.
    pub(crate) fn put_first(&mut self, rest: Envelope) {
        let lane = rest.head().lane;
        self.of(lane).push_front(rest);
    }

    pub(super) fn of(&mut self, lane: Lane) -> &mut VecDeque<Envelope> {
        if lane == Lane::Bulk { &mut self.bulk } else { &mut self.normal }
    }

    pub(super) fn is_bulk_turn(&self) -> bool {
        self.normals_in_a_row >= NORMAL_PER_BULK && !self.bulk.is_empty()
    }
}

impl Inner {
    pub(super) fn new(lanes: Lanes) -> Self {
        let lane = |lane| LaneQueue { settings: lanes.of(lane), queue: VecDeque::new(), taken: 0, taken_sent_ns: 0 };
        Self {
            door: Door::Open,
            parked: Parked::Running,
            waker: None,
            lanes: Lane::ALL.map(lane),
            signals: VecDeque::new(),
            is_over: false,
            waiters: BTreeMap::new(),
            next_waiter: 0,
        }
    }

    /// Writes down what the drain holds, now that it stops working.
    pub(super) fn note_hands(&mut self, batch: &Batch) {
        self.lane(Lane::Normal).note_taken(batch.normal.front(), batch.normal.len());
        self.lane(Lane::Bulk).note_taken(batch.bulk.front(), batch.bulk.len());
    }

    pub(super) fn lane(&mut self, lane: Lane) -> &mut LaneQueue {
        let [control, interrupt, normal, bulk] = &mut self.lanes;
        match lane {
            Lane::Control => control,
            Lane::Interrupt => interrupt,
            Lane::Normal => normal,
            Lane::Bulk => bulk,
        }
    }

    /// Takes out all who wait for a place; mostly nobody does.
    pub(super) fn take_waiters(&mut self) -> impl Iterator<Item = Waker> + use<> {
        let waiters = if self.waiters.is_empty() { None } else { Some(std::mem::take(&mut self.waiters)) };
        waiters.into_iter().flat_map(BTreeMap::into_values).map(|(_, waker)| waker)
    }

    pub(super) fn register(&mut self, key: &mut Option<u64>, lane: Lane, waker: &Waker) {
        let key = *key.get_or_insert_with(|| {
            self.next_waiter += 1;
            self.next_waiter
        });
        self.waiters.insert(key, (lane, waker.clone()));
    }

    pub(super) fn park(&mut self, parked: Parked, waker: &Waker) {
        self.parked = parked;
        match &mut self.waker {
            Some(current) => current.clone_from(waker),
            None => self.waker = Some(waker.clone()),
        }
    }
}
