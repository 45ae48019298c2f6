//! What a node knows of another one by its heartbeats.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::heartbeat::Heartbeat;
use super::node::NodeId;

/// One other node.
#[derive(Debug)]
pub(super) struct Peer {
    /// Its newest heartbeat.
    pub(super) number: u64,
    /// When that one came; before the first, when the node was first known.
    pub(super) heard_at: Instant,
    /// The generation and version of the view it said it knows.
    pub(super) knows: (u64, u64),
    /// Until when it lets this node serve.
    pub(super) consents_until: Option<Instant>,
    /// Whom it does not hear.
    pub(super) silent: Vec<NodeId>,
}

impl Peer {
    pub(super) fn new(now: Instant) -> Self {
        Self { number: 0, heard_at: now, knows: (0, 0), consents_until: None, silent: Vec::new() }
    }

    /// Takes a heartbeat; `false` if it is not news.
    pub(super) fn hear(&mut self, beat: &Heartbeat, now: Instant) -> bool {
        if beat.number <= self.number {
            return false;
        }
        (self.number, self.heard_at) = (beat.number, now);
        self.knows = self.knows.max((beat.generation, beat.version));
        self.silent.clone_from(&beat.silent);
        true
    }

    /// Returns for how long nothing was heard.
    pub(super) fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.heard_at)
    }
}

/// The heartbeats this node sent, the newest last.
#[derive(Debug, Default)]
pub(super) struct Sent {
    number: u64,
    times: VecDeque<(u64, Instant)>,
}

/// How many heartbeats a confirmation may be late.
const SENT_MAX: usize = 64;

impl Sent {
    /// Numbers a heartbeat that is sent now.
    pub(super) fn next(&mut self, now: Instant) -> u64 {
        self.number += 1;
        if self.times.len() == SENT_MAX {
            self.times.pop_front();
        }
        self.times.push_back((self.number, now));
        self.number
    }

    /// Returns when a heartbeat was sent.
    pub(super) fn at(&self, number: u64) -> Option<Instant> {
        self.times.iter().find(|(sent, _)| *sent == number).map(|(_, at)| *at)
    }
}
