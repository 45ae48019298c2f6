//! What the watchdog found, as introspection shows it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::look;
use crate::system::{Deadlock, System, as_millis};

/// The most troubles of each sort that are listed; the others are counted.
pub const TROUBLES_LISTED_MAX: usize = 64;

/// What keeps a system from going on, as of one look.
///
/// Each list has at most [`TROUBLES_LISTED_MAX`] entries, the oldest trouble first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Troubles {
    /// Handlers that have been awaiting for too long.
    pub stuck: Vec<StuckHandler>,
    /// Threads that have been in one poll for too long.
    pub blocked: Vec<BlockedWorker>,
    /// Circles of handlers that await each other. Its handlers become stuck as well, if nothing ends their asks
    /// before.
    pub deadlocks: Vec<Deadlock>,
    /// How many of each are not listed.
    pub left_out: TroubleCounts,
    /// How many actors of each kind are concerned, those that are not listed included; without deadlocks.
    pub by_kind: BTreeMap<&'static str, KindTroubles>,
}

/// A number for each sort of trouble.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TroubleCounts {
    /// Stuck handlers.
    pub stuck: usize,
    /// Blocked threads.
    pub blocked: usize,
    /// Deadlocks.
    pub deadlocks: usize,
}

/// The troubles of the actors of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct KindTroubles {
    /// Stuck handlers.
    pub stuck: usize,
    /// Threads that handlers and jobs block.
    pub blocked: usize,
}

/// A handler that has been awaiting for longer than its actor's limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StuckHandler {
    /// The path of the actor.
    pub actor: Arc<str>,
    /// The kind of the actor.
    pub kind: &'static str,
    /// What it handles; `None` for a step of the actor's life, such as its start.
    pub message: Option<&'static str>,
    /// For how long it has been awaiting.
    #[serde(rename = "age_ms", serialize_with = "as_millis")]
    pub age: Duration,
}

/// A thread that is kept by one poll of an actor or a job: it computes, blocks, or waits for a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BlockedWorker {
    /// The name and the number of the thread, such as `tokio-rt-worker#3`.
    pub thread: Arc<str>,
    /// The path of the actor.
    pub actor: Arc<str>,
    /// The kind of the actor; empty if the actor is gone although its code runs on.
    pub kind: &'static str,
    /// Whether a job of the actor keeps the thread, and not a handler.
    pub is_job: bool,
    /// For how long it was seen in this poll, at least: counted from the first look that met it.
    #[serde(rename = "age_ms", serialize_with = "as_millis")]
    pub age: Duration,
}

impl Troubles {
    /// Returns whether all goes well.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts() == TroubleCounts::default()
    }

    /// Returns how many troubles there are, those that are not listed included.
    #[must_use]
    pub fn counts(&self) -> TroubleCounts {
        TroubleCounts {
            stuck: self.stuck.len() + self.left_out.stuck,
            blocked: self.blocked.len() + self.left_out.blocked,
            deadlocks: self.deadlocks.len() + self.left_out.deadlocks,
        }
    }
}

impl System {
    /// Looks for what keeps the system from going on: stuck handlers, blocked threads, deadlocks.
    ///
    /// Handlers and deadlocks are found at once. A blocked thread is found by the second look that meets it in the
    /// same poll, [`blocked_after`](crate::WatchdogSettings::blocked_after) after the first: the watchdog's thread
    /// looks all the time; without it each call here is a look, so somebody who asks regularly finds it too, and a
    /// single call does not.
    ///
    /// Walks all actors: as costly as a [`census`](System::census). Waits for no actor. After the shutdown only
    /// threads that are still blocked show.
    ///
    /// ```
    /// use beluga_runtime::System;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> beluga_core::Result<()> {
    /// let system = System::builder("calm").build()?;
    /// let troubles = system.troubles();
    /// assert!(troubles.is_empty() && troubles.stuck.is_empty());
    /// # system.shutdown_gracefully().await
    /// # }
    /// ```
    #[must_use]
    pub fn troubles(&self) -> Troubles {
        let mut troubles = Troubles::default();
        let stuck = look::stuck(self);
        for found in &stuck {
            troubles.by_kind.entry(found.trouble.kind).or_default().stuck += 1;
        }
        let blocked = look::blocked(self);
        for found in &blocked {
            troubles.by_kind.entry(found.trouble.kind).or_default().blocked += 1;
        }
        (troubles.stuck, troubles.left_out.stuck) = listed(stuck);
        (troubles.blocked, troubles.left_out.blocked) = listed(blocked);
        (troubles.deadlocks, troubles.left_out.deadlocks) = listed(look::deadlocks(self));
        troubles
    }
}

/// Returns what is listed, and how many are not.
fn listed<T>(found: Vec<look::Found<T>>) -> (Vec<T>, usize) {
    let left_out = found.len().saturating_sub(TROUBLES_LISTED_MAX);
    (found.into_iter().take(TROUBLES_LISTED_MAX).map(|found| found.trouble).collect(), left_out)
}
