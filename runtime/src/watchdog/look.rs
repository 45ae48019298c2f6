//! One look at a system: all its troubles of each sort, the oldest first.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::troubles::{BlockedWorker, StuckHandler};
use crate::slot::Slot;
use crate::system::{Deadlock, System};

/// A trouble, and what tells it from all others of its sort as long as the system lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found<T> {
    pub(super) key: Key,
    pub(super) trouble: T,
}

/// Stuck: the slot, and since when its handler awaits. Blocked: the thread, and since when its poll was seen.
/// Deadlock: who made the oldest ask of the circle, and when.
pub(super) type Key = (u64, u64);

/// Finds the handlers that have been awaiting for too long. Reads one number of each actor.
pub(super) fn stuck(system: &System) -> Vec<Found<StuckHandler>> {
    let Ok(root) = system.root() else { return Vec::new() };
    let ground = system.ground();
    let (now_ns, limit) = (ground.clock.read(), ground.settings.watchdog.stuck_after);
    let mut found = Vec::new();
    let mut ahead = vec![root];
    while let Some(slot) = ahead.pop() {
        found.extend(stuck_handler(&slot, now_ns, limit));
        ahead.extend(slot.children.lock().all());
    }
    found.sort_by_key(|found| (found.key.1, found.key.0));
    found
}

fn stuck_handler(slot: &Slot, now_ns: u64, of_system: Duration) -> Option<Found<StuckHandler>> {
    let since = &slot.stats.hand_since_ns;
    let since_ns = since.load(Ordering::Relaxed);
    if since_ns == 0 {
        return None;
    }
    let age = Duration::from_nanos(now_ns.saturating_sub(since_ns));
    let limit = slot.settings.patience.limit(of_system)?;
    if age < limit || slot.mailbox.is_paused() {
        return None;
    }
    let message = *slot.stats.hand_message.lock();
    // It may have ended meanwhile, and the message be that of the next one.
    let is_same = since.load(Ordering::Relaxed) == since_ns;
    let stuck = StuckHandler { actor: Arc::clone(slot.name()), kind: slot.kind(), message, age };
    is_same.then_some(Found { key: (slot.id(), since_ns), trouble: stuck })
}

/// Finds the threads that have been seen in one poll for too long. Sets the coarse clock.
pub(super) fn blocked(system: &System) -> Vec<Found<BlockedWorker>> {
    let ground = system.ground();
    let blocked = ground.beats.sample(&ground.clock, ground.settings.watchdog.blocked_after);
    if blocked.is_empty() {
        return Vec::new();
    }
    let slots: HashMap<u64, Arc<Slot>> = ground.slots().into_iter().map(|slot| (slot.id(), slot)).collect();
    let show = |blocked: super::beats::Blocked| {
        let slot = slots.get(&blocked.actor);
        let (actor, kind) =
            slot.map_or_else(|| (Arc::from("an actor that ended"), ""), |slot| (Arc::clone(slot.name()), slot.kind()));
        let worker = BlockedWorker { thread: blocked.thread, actor, kind, is_job: blocked.is_job, age: blocked.age };
        Found { key: blocked.key, trouble: worker }
    };
    blocked.into_iter().map(show).collect()
}

/// Finds the circles of handlers that await each other.
pub(super) fn deadlocks(system: &System) -> Vec<Found<Deadlock>> {
    let mut found: Vec<_> = system.keyed_deadlocks().into_iter().map(|(key, trouble)| Found { key, trouble }).collect();
    found.sort_by_key(|found| found.key.1);
    found
}
