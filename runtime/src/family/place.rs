//! The place of one key: what its refs and its actor share. It is small, and empty while the key has no actor.
//!
//! Places are kept in shards, so that neither a look-up nor the growth of a table holds up all keys at once. A place
//! leaves its shard when nobody holds it and it is empty; both are looked at under the shard's lock.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::{Mutex, MutexGuard};

use super::table::Table;
use super::waiting::Waiting;
use crate::slot::Slot;

/// How many parts the table of a family has.
const SHARDS: usize = 64;
/// A shard of so many places or fewer gives no memory back.
const SHARD_KEPT: usize = 64;
/// A shard of which only one in so many places is used gives memory back.
const SHARD_SPARSE: usize = 8;

pub(crate) struct Place {
    state: Mutex<State>,
    /// How many refs and activations hold the place.
    holds: AtomicU32,
    /// Where the key begins in the name.
    key_at: u32,
    /// The family's kind and the key, as `kind/key`.
    name: Box<str>,
}

/// What a key has.
pub(super) enum State {
    Vacant,
    Activating(Arc<Waiting>),
    Active(Arc<Slot>),
    /// Its door is shut; the key may be activated anew once it is gone.
    Leaving(Arc<Slot>),
}

impl Place {
    fn new(kind: &str, key: &str) -> Self {
        let key_at = u32::try_from(kind.len() + 1).unwrap_or(u32::MAX);
        Self {
            state: Mutex::new(State::Vacant),
            holds: AtomicU32::new(0),
            key_at,
            name: [kind, "/", key].concat().into_boxed_str(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn key(&self) -> &str {
        let key_at = usize::try_from(self.key_at).unwrap_or(usize::MAX);
        self.name.get(key_at..).unwrap_or_default()
    }

    /// Returns the slot of an active key. Every send through a virtual ref comes by here.
    pub(super) fn active(&self) -> Option<Arc<Slot>> {
        match &*self.state.lock() {
            State::Active(slot) => Some(Arc::clone(slot)),
            _ => None,
        }
    }

    /// Looks at what the key has, and changes it in the same step.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock())
    }

    /// A slot takes no more messages: senders are to activate the key anew.
    pub(super) fn shut(&self, slot: &Slot) {
        let mut state = self.state.lock();
        if let State::Active(active) = &*state
            && std::ptr::eq(&raw const **active, slot)
        {
            *state = State::Leaving(Arc::clone(active));
        }
    }

    /// A slot is gone. Returns whether it was the key's; then the place is empty now.
    pub(super) fn empty(&self, slot: &Slot) -> bool {
        let mut state = self.state.lock();
        let own = match &*state {
            State::Active(known) | State::Leaving(known) => std::ptr::eq(&raw const **known, slot),
            State::Vacant | State::Activating(_) => false,
        };
        let left = if own { std::mem::replace(&mut *state, State::Vacant) } else { State::Vacant };
        drop(state);
        // Outside the lock: this may be the last handle of the slot.
        drop(left);
        own
    }

    fn is_unused(&self) -> bool {
        self.holds.load(Ordering::Acquire) == 0 && matches!(&*self.state.lock(), State::Vacant)
    }
}

/// Keeps the place of a key in its family's table.
pub(super) struct Hold {
    pub(super) table: Arc<Table>,
    pub(super) place: Arc<Place>,
}

impl Hold {
    pub(super) fn new(table: &Arc<Table>, key: &str) -> Self {
        Self { table: Arc::clone(table), place: table.places().hold(key) }
    }
}

impl Clone for Hold {
    fn clone(&self) -> Self {
        self.place.holds.fetch_add(1, Ordering::Relaxed);
        Self { table: Arc::clone(&self.table), place: Arc::clone(&self.place) }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.place.holds.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.table.places().release(&self.place);
        }
    }
}

/// The places of a family by key.
pub(super) struct Places {
    kind: &'static str,
    hasher: RandomState,
    shards: [Mutex<HashSet<Entry>>; SHARDS],
}

/// A place in a shard, found by its key.
struct Entry(Arc<Place>);

impl Borrow<str> for Entry {
    fn borrow(&self) -> &str {
        self.0.key()
    }
}

impl Hash for Entry {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.key().hash(hasher);
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.0.key() == other.0.key()
    }
}

impl Eq for Entry {}

impl Places {
    pub(super) fn new(kind: &'static str) -> Self {
        Self { kind, hasher: RandomState::new(), shards: std::array::from_fn(|_| Mutex::default()) }
    }

    pub(super) fn kind(&self) -> &'static str {
        self.kind
    }

    /// Returns the shard of a key. The bits of the hash that choose it are not those a shard goes by.
    #[allow(clippy::indexing_slicing)] // The index is below the number of shards.
    fn shard(&self, key: &str) -> MutexGuard<'_, HashSet<Entry>> {
        let bits = usize::try_from(self.hasher.hash_one(key) >> 32).unwrap_or(0);
        self.shards[bits % SHARDS].lock()
    }

    /// Returns the place of a key, held once more; a new one if there is none.
    fn hold(&self, key: &str) -> Arc<Place> {
        let mut shard = self.shard(key);
        let place = match shard.get(key) {
            Some(Entry(place)) => Arc::clone(place),
            None => {
                let place = Arc::new(Place::new(self.kind, key));
                shard.insert(Entry(Arc::clone(&place)));
                place
            }
        };
        place.holds.fetch_add(1, Ordering::Relaxed);
        place
    }

    /// Returns the slot of a key, if it is active.
    pub(super) fn active(&self, key: &str) -> Option<Arc<Slot>> {
        self.shard(key).get(key).and_then(|Entry(place)| place.active())
    }

    /// Forgets a place that nobody holds and that is empty.
    pub(super) fn release(&self, place: &Arc<Place>) {
        let mut shard = self.shard(place.key());
        let is_known = shard.get(place.key()).is_some_and(|Entry(known)| Arc::ptr_eq(known, place));
        if !is_known || !place.is_unused() {
            return;
        }
        shard.remove(place.key());
        let used = shard.len();
        if shard.capacity() > SHARD_KEPT && used * SHARD_SPARSE < shard.capacity() {
            shard.shrink_to(used * 2);
        }
    }

    /// Returns the keys that are active or being activated, in no order. Walks over all places, a shard at a time.
    pub(super) fn in_use(&self) -> Vec<Arc<str>> {
        let in_use = |Entry(place): &Entry| {
            let used = place.change(|state| !matches!(state, State::Vacant));
            used.then(|| Arc::from(place.key()))
        };
        self.shards.iter().flat_map(|shard| shard.lock().iter().filter_map(in_use).collect::<Vec<_>>()).collect()
    }
}
