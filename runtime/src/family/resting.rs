//! The order in which the actors of a family leave: those that rest, the one that began first in front.
//!
//! A row is as old as the last time somebody looked at its actor, never younger than the actor's own word, so the front
//! row is brought up to date until it tells the truth: then no other actor has rested for longer. Each such step moves a
//! row behind what its actor has done since, so looking costs O(log n) per piece of work done, not per actor there is. One
//! that works has no row; it enters again by itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::seat::{Listed, Rest};
use super::table::Room;
use crate::slot::Slot;

/// How many rows are looked at under one lock.
pub(super) const LOOKS_MAX: usize = 64;

/// Since when, and the number of the slot: among those that began at the same time the oldest leaves first.
type Rows = BTreeMap<(u64, u64), Arc<Slot>>;

#[derive(Default)]
pub(super) struct Resting {
    /// Those that leave when they are asked.
    willing: Rows,
    /// Those that leave only for idleness.
    loath: Rows,
    /// Those asked to leave, each with who gets its room.
    claimed: HashMap<u64, oneshot::Sender<Room>>,
    /// Those asked to leave for nobody, and since when.
    unclaimed: BTreeMap<u64, u64>,
    /// When the sweeper looks next; the end of time if it waits for somebody to rest.
    pub(super) next_look_ns: u64,
}

/// Among whom one is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Among {
    Willing,
    Loath,
}

/// What a look for one to leave found.
pub(super) enum Found {
    /// It has rested for longest; it is marked as asked, and is to be told.
    One(Arc<Slot>),
    /// None has rested for so long.
    Nobody,
    /// There are more rows to look at: let others have the lock.
    More,
}

impl Resting {
    /// Enters an actor that rests. If it was asked to leave it does not; whoever waits for its room is returned.
    pub(super) fn enter(&mut self, slot: &Arc<Slot>, rest: Rest) -> Option<oneshot::Sender<Room>> {
        let refused = self.settle(slot.id());
        let Some(seat) = &slot.seat else { return refused };
        let mut listed = seat.listed.lock();
        if let Listed::At(row) = *listed {
            self.rows(row).remove(&(row.since_ns, slot.id()));
        }
        if *listed != Listed::Gone {
            *listed = Listed::At(rest);
            self.rows(rest).insert((rest.since_ns, slot.id()), Arc::clone(slot));
        }
        refused
    }

    /// Forgets an actor that is gone, and returns who waits for its room.
    pub(super) fn forget(&mut self, slot: &Slot) -> Option<oneshot::Sender<Room>> {
        let heir = self.settle(slot.id());
        if let Some(seat) = &slot.seat
            && let Listed::At(row) = std::mem::replace(&mut *seat.listed.lock(), Listed::Gone)
        {
            self.rows(row).remove(&(row.since_ns, slot.id()));
        }
        heir
    }

    /// Looks for the actor that has rested for longest, at least since `until_ns`, and marks it as asked to leave.
    pub(super) fn ask_first(&mut self, among: Among, until_ns: u64, now_ns: u64) -> Found {
        for _ in 0..LOOKS_MAX {
            let rows = match among {
                Among::Willing => &mut self.willing,
                Among::Loath => &mut self.loath,
            };
            let Some(first) = rows.first_entry().filter(|first| first.key().0 <= until_ns) else {
                return Found::Nobody;
            };
            let ((since_ns, id), slot) = first.remove_entry();
            let Some(seat) = &slot.seat else { continue };
            *seat.listed.lock() = Listed::No;
            let row = Rest { since_ns, loath: among == Among::Loath };
            match seat.look(&slot, row) {
                None => {}
                Some(rest) if rest == row && seat.ask(rest) => {
                    self.unclaimed.insert(id, now_ns);
                    return Found::One(slot);
                }
                Some(rest) => drop(self.enter(&slot, rest)),
            }
        }
        Found::More
    }

    /// Claims the room of an actor that was asked to leave. The claim ends without a room if the actor stays.
    pub(super) fn claim(&mut self, id: u64) -> oneshot::Receiver<Room> {
        let (heir, claim) = oneshot::channel();
        self.unclaimed.remove(&id);
        self.claimed.insert(id, heir);
        claim
    }

    /// Returns one that was asked to leave for nobody.
    pub(super) fn any_unclaimed(&self) -> Option<u64> {
        self.unclaimed.keys().next().copied()
    }

    /// Gives a claim up. The actor leaves or enters again; nobody counts on it.
    pub(super) fn give_up(&mut self, id: u64) {
        if self.claimed.get(&id).is_some_and(oneshot::Sender::is_closed) {
            self.claimed.remove(&id);
        }
    }

    /// Returns how many were asked to leave for nobody since then. Of the others nothing is expected any more.
    pub(super) fn leaving(&mut self, since_ns: u64) -> usize {
        self.unclaimed.retain(|_, asked_ns| *asked_ns >= since_ns);
        self.unclaimed.len()
    }

    /// Returns the oldest time in any row.
    pub(super) fn oldest_ns(&self) -> Option<u64> {
        let first = |rows: &Rows| rows.first_key_value().map(|((since_ns, _), _)| *since_ns);
        first(&self.willing).into_iter().chain(first(&self.loath)).min()
    }

    fn rows(&mut self, rest: Rest) -> &mut Rows {
        if rest.loath { &mut self.loath } else { &mut self.willing }
    }

    /// Ends what was asked of an actor.
    fn settle(&mut self, id: u64) -> Option<oneshot::Sender<Room>> {
        self.unclaimed.remove(&id);
        self.claimed.remove(&id)
    }
}
