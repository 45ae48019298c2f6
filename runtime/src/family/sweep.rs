//! The task of a family that lets actors leave: those idle for too long, and the idlest while there are too many.
//!
//! One sleep for all actors of a family instead of a timer for each. The task begins with the first activation and ends
//! with the family.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use super::resting::{Among, Found};
use super::table::{EVICTION_WAIT, Table, nanos};
use crate::mailbox::Signal;
use crate::slot::Slot;
use crate::{task, time};

/// How many actors are asked to leave before others run.
const ASKS_MAX: usize = 64;
/// Between two looks passes this part of the idle time, so that those who come due at nearly the same time share one.
const PAUSE_PART: u32 = 16;
/// The bounds of that pause.
const PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));

/// What the sweeper does next.
enum Next {
    Again,
    Sleep(Duration),
    /// Sleep until somebody rests.
    Doze,
}

impl Table {
    /// Makes sure that the sweeper runs.
    pub(super) fn watch(self: &Arc<Self>) {
        if !self.is_watched.load(Ordering::Relaxed) && !self.is_watched.swap(true, Ordering::Relaxed) {
            drop(task::spawn("sweep", sweep(Arc::downgrade(self), Arc::clone(&self.tick))));
        }
    }

    /// Takes who is to leave out of the order, and says when to look again.
    fn look(&self) -> (Vec<Arc<Slot>>, Next) {
        let options = self.options();
        let now_ns = self.ground().clock.read();
        let until_due_ns = now_ns.saturating_sub(nanos(options.idle_after));
        let mut resting = self.resting.lock();
        let leaving = resting.leaving(now_ns.saturating_sub(nanos(EVICTION_WAIT)));
        let too_many = self.taken().saturating_sub(options.max_active);
        let mut asked = Vec::new();
        loop {
            if asked.len() == ASKS_MAX {
                return (asked, Next::Again);
            }
            let until_ns = if leaving + asked.len() < too_many { u64::MAX } else { until_due_ns };
            let found = match resting.ask_first(Among::Willing, until_ns, now_ns) {
                Found::Nobody => resting.ask_first(Among::Loath, until_due_ns, now_ns),
                found => found,
            };
            match found {
                Found::One(slot) => asked.push(slot),
                Found::More => return (asked, Next::Again),
                Found::Nobody => break,
            }
        }
        let (least, most) = PAUSE;
        let pause = (options.idle_after / PAUSE_PART).clamp(least, most);
        let due_in = |oldest_ns: u64| {
            let due_ns = oldest_ns.saturating_add(nanos(options.idle_after));
            Duration::from_nanos(due_ns.saturating_sub(now_ns)).max(pause)
        };
        // Who was asked because there are too many, and works instead, is not counted on for ever.
        let recount_in = (too_many > 0 && leaving + asked.len() > 0).then_some(EVICTION_WAIT);
        let wait = resting.oldest_ns().map(due_in).into_iter().chain(recount_in).min();
        resting.next_look_ns = wait.map_or(u64::MAX, |wait| now_ns.saturating_add(nanos(wait)));
        (asked, wait.map_or(Next::Doze, Next::Sleep))
    }
}

/// Ends when the family is dropped, which ticks.
async fn sweep(table: Weak<Table>, tick: Arc<Notify>) {
    while let Some((asked, next)) = table.upgrade().map(|table| table.look()) {
        for slot in asked {
            slot.mailbox.signal(Signal::Passivate);
        }
        match next {
            Next::Again => tokio::task::yield_now().await,
            Next::Sleep(wait) => drop(time::timeout(wait, tick.notified()).await),
            Next::Doze => tick.notified().await,
        }
    }
}
