//! What makes a slot the actor of a key: its seat, which tells the family when it rests, works, and is gone.
//!
//! Resting and working are one word, written by the actor itself: since when it rests (0: it works), and two marks. A
//! message costs the family nothing beyond that: the order in which actors leave is brought up to date by whoever looks
//! for one to leave. [`SOUGHT`] says that the order does not have the actor: it enters itself when it rests. Whoever
//! takes that mark away enters the actor, so it is entered once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::place::Place;
use super::table::{Room, Table};
use crate::slot::Slot;

/// The mark of an actor that enters the order itself when it rests.
const SOUGHT: u64 = 1 << 63;
/// The mark of a resting actor that leaves for no newcomer: it has served nobody yet, or said that it may not leave.
const LOATH: u64 = 1 << 62;
const MARKS: u64 = SOUGHT | LOATH;

pub(crate) struct Seat {
    table: Weak<Table>,
    place: Weak<Place>,
    rest: AtomicU64,
    /// Where the order has it; read and written under the order's lock.
    pub(super) listed: Mutex<Listed>,
    room: Mutex<Option<Room>>,
}

/// Where the order of those that rest has an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listed {
    No,
    At(Rest),
    /// It is gone, and enters no more.
    Gone,
}

/// Since when an actor rests, and whether it leaves for a newcomer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rest {
    pub(super) since_ns: u64,
    pub(super) loath: bool,
}

impl Rest {
    fn of(word: u64) -> Option<Self> {
        let since_ns = word & !MARKS;
        (since_ns != 0).then_some(Self { since_ns, loath: word & LOATH != 0 })
    }

    /// A loath one is always sought, so that it enters anew, as a willing one, when it has worked.
    fn word(self) -> u64 {
        (self.since_ns & !MARKS).max(1) | if self.loath { MARKS } else { 0 }
    }
}

/// Keeps a family at work while one of its actors lives, also when nobody refers to it any more.
pub(crate) struct Tie {
    _table: Arc<Table>,
}

impl Seat {
    pub(super) fn new(table: &Arc<Table>, place: &Arc<Place>, room: Room) -> Box<Self> {
        Box::new(Self {
            table: Arc::downgrade(table),
            place: Arc::downgrade(place),
            rest: AtomicU64::new(SOUGHT),
            listed: Mutex::new(Listed::No),
            room: Mutex::new(Some(room)),
        })
    }

    /// Returns after how long without work its actor leaves memory.
    pub(crate) fn idle_after(&self) -> Option<Duration> {
        self.table.upgrade().map(|table| table.options().idle_after)
    }

    /// Ties an incarnation of the actor to its family. A seat alone does not, or a system
    /// that nobody shuts down would keep itself alive.
    pub(crate) fn tie(&self) -> Option<Tie> {
        self.table.upgrade().map(|table| Tie { _table: table })
    }

    /// The actor rests from now on. A loath one leaves for no newcomer.
    pub(crate) fn rest(&self, slot: &Arc<Slot>, since_ns: u64, loath: bool) {
        let rest = Rest { since_ns, loath };
        if self.rest.swap(rest.word(), Ordering::AcqRel) & SOUGHT != 0 {
            self.enter(slot, rest);
        }
    }

    /// The actor works again, or its incarnation has ended.
    pub(crate) fn wake(&self) {
        self.rest.fetch_and(SOUGHT, Ordering::AcqRel);
    }

    /// The last job of the actor has ended: if it rests, it does so since now.
    pub(crate) fn jobs_ended(&self, slot: &Arc<Slot>, now_ns: u64) {
        let since_now = |word| Rest::of(word).map(|rest| Rest { since_ns: now_ns, ..rest });
        let update = |word| since_now(word).map(Rest::word);
        if let Ok(before) = self.rest.fetch_update(Ordering::AcqRel, Ordering::Acquire, update)
            && before & SOUGHT != 0
            && let Some(rest) = since_now(before)
        {
            self.enter(slot, rest);
        }
    }

    fn enter(&self, slot: &Arc<Slot>, rest: Rest) {
        if let Some(table) = self.table.upgrade() {
            table.enter(slot, rest);
        }
    }

    /// Returns since when the actor rests. One that works is left to enter the order itself; so is one that has work to
    /// do, which is looked at only where the row tells the truth.
    pub(super) fn look(&self, slot: &Slot, row: Rest) -> Option<Rest> {
        loop {
            let word = self.rest.load(Ordering::Acquire);
            let rest = Rest::of(word);
            if rest.is_some() && (rest != Some(row) || !slot.has_work()) {
                return rest;
            }
            if !self.exchange(word, word | SOUGHT) {
                continue;
            }
            if rest.is_none() || slot.has_work() || !self.exchange(word | SOUGHT, word) {
                return None;
            }
            // The work was done in between, and whoever did it did not see the mark.
        }
    }

    /// Marks an actor that rests as asked to leave: if it does not, it enters the order again. False if it works.
    pub(super) fn ask(&self, rest: Rest) -> bool {
        self.exchange(rest.word(), rest.word() | SOUGHT)
    }

    fn exchange(&self, from: u64, to: u64) -> bool {
        self.rest.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The slot takes no more messages.
    pub(crate) fn shut(&self, slot: &Slot) {
        if let Some(place) = self.place.upgrade() {
            place.shut(slot);
        }
    }

    /// The slot is gone for good: the key may be activated anew, and the room is free. Idempotent.
    pub(crate) fn vacate(&self, slot: &Slot) {
        let room = self.room.lock().take();
        if let (Some(table), Some(place)) = (self.table.upgrade(), self.place.upgrade()) {
            table.vacate(slot, &place, room);
        }
    }
}
