//! Records in the store: each node renews its own, and one that is not renewed may be revoked. It is what ends a member that
//! nobody is left to judge.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use super::membership::Action;
use super::node::NodeId;
use super::store::Swap;
use super::timing::Timing;

/// This node's own record.
#[derive(Debug, Default)]
pub(super) struct Record {
    revision: Option<u64>,
    /// When the renewal began that was last written: what it is good for is counted from here.
    fresh_from: Option<Instant>,
    /// When the renewal under way began, or the read.
    asked_at: Option<Instant>,
    is_asking: bool,
    /// Whether a renewal's outcome is not known, so that the record has to be read.
    is_doubtful: bool,
}

impl Record {
    /// Returns whether it was renewed in time.
    pub(super) fn is_fresh(&self, timing: &Timing, now: Instant) -> bool {
        self.fresh_from.is_some_and(|from| now < from + timing.membership)
    }

    pub(super) fn tick(&mut self, me: &NodeId, timing: &Timing, now: Instant) -> Option<Action> {
        // What is in doubt is looked at soon.
        let wait = if self.is_doubtful { timing.beat } else { timing.renew };
        if self.is_asking || self.asked_at.is_some_and(|at| now < at + wait) {
            return None;
        }
        (self.is_asking, self.asked_at) = (true, Some(now));
        Some(match self.is_doubtful {
            true => Action::ReadRecord(me.clone()),
            false => Action::Renew { revision: self.revision },
        })
    }

    pub(super) fn renewed(&mut self, outcome: Swap) {
        self.is_asking = false;
        match outcome {
            Swap::Written(revision) => (self.revision, self.fresh_from) = (Some(revision), self.asked_at),
            // An earlier renewal may have been written after all.
            Swap::Conflict | Swap::Unknown => self.is_doubtful = true,
        }
    }

    /// Takes what was read; `false` if the record was revoked.
    pub(super) fn read(&mut self, answer: Result<Option<RecordRead>, ()>) -> bool {
        self.is_asking = false;
        match answer {
            Err(()) => true,
            Ok(Some(RecordRead { is_held: false, .. })) => false,
            Ok(read) => {
                self.revision = read.map(|read| read.revision).max(self.revision);
                // At once again.
                (self.is_doubtful, self.asked_at) = (false, None);
                true
            }
        }
    }
}

/// A record as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordRead {
    /// Its revision.
    pub revision: u64,
    /// Whether it is its node's; `false` once it was revoked.
    pub is_held: bool,
}

/// The records of silent members.
#[derive(Debug, Default)]
pub(super) struct Others {
    seen: HashMap<NodeId, Seen>,
    revoked: HashSet<NodeId>,
}

#[derive(Debug)]
struct Seen {
    asked_at: Instant,
    is_asking: bool,
    /// The revision it had at each read since then; `None` before the first.
    same_since: Option<(Option<u64>, Instant)>,
}

impl Others {
    /// Returns whose records are to be read.
    pub(super) fn tick(&mut self, quiet: &[NodeId], timing: &Timing, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        for node in quiet.iter().filter(|node| !self.revoked.contains(*node)) {
            let seen = self.seen.get(node);
            if seen.is_some_and(|seen| seen.is_asking || now < seen.asked_at + timing.renew) {
                continue;
            }
            let same_since = seen.and_then(|seen| seen.same_since);
            self.seen.insert(node.clone(), Seen { asked_at: now, is_asking: true, same_since });
            actions.push(Action::ReadRecord(node.clone()));
        }
        actions
    }

    /// Takes what was read; the revision to be revoked if it has been the same for too long.
    pub(super) fn read(
        &mut self,
        node: &NodeId,
        answer: Result<Option<RecordRead>, ()>,
        timing: &Timing,
        now: Instant,
    ) -> Option<Option<u64>> {
        let seen = self.seen.get_mut(node)?;
        seen.is_asking = false;
        let read = answer.ok()?;
        if read.is_some_and(|read| !read.is_held) {
            self.revoked.insert(node.clone());
            return None;
        }
        let revision = read.map(|read| read.revision);
        match seen.same_since {
            Some((same, since)) if same == revision => {
                seen.is_asking = now >= since + timing.revoke;
                seen.is_asking.then_some(revision)
            }
            _ => {
                seen.same_since = Some((revision, now));
                None
            }
        }
    }

    pub(super) fn revoked(&mut self, node: &NodeId, outcome: Swap) {
        let Some(seen) = self.seen.get_mut(node) else { return };
        seen.is_asking = false;
        match outcome {
            Swap::Written(_) => drop(self.revoked.insert(node.clone())),
            // It was renewed, or somebody else was first: reading tells.
            Swap::Conflict | Swap::Unknown => {}
        }
    }

    /// Returns whether a node can serve no more because its record was revoked.
    pub(super) fn is_revoked(&self, node: &NodeId) -> bool {
        self.revoked.contains(node)
    }

    /// Forgets whoever is no member any more.
    pub(super) fn keep(&mut self, members: &HashSet<&NodeId>) {
        self.seen.retain(|node, _| members.contains(node));
        self.revoked.retain(|node| members.contains(node));
    }
}
