//! What one lock of a mailbox guards, and the batch its drain holds.

use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;
use std::time::Instant;

use super::NORMAL_PER_BULK;
use super::signal::Signal;
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

#[derive(Default)]
pub(super) struct Inner {
    pub(super) door: Door,
    pub(super) parked: Parked,
    pub(super) waker: Option<Waker>,
    pub(super) queues: [VecDeque<Envelope>; Lane::COUNT],
    pub(super) pushed: [u64; Lane::COUNT],
    pub(super) signals: VecDeque<Signal>,
    pub(super) waiters: BTreeMap<u64, (Lane, Waker)>,
    pub(super) next_waiter: u64,
}

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

    pub(super) fn is_bulk_turn(&self) -> bool {
        self.normals_in_a_row >= NORMAL_PER_BULK && !self.bulk.is_empty()
    }
}

impl Inner {
    pub(super) fn push(&mut self, lane: Lane, envelope: Envelope) {
        if let (Some(queue), Some(pushed)) = (self.queues.get_mut(lane as usize), self.pushed.get_mut(lane as usize)) {
            queue.push_back(envelope);
            *pushed += 1;
        }
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

    pub(super) fn wake_for_message(&mut self) -> Option<Waker> {
        if self.parked == Parked::Idle { self.wake() } else { None }
    }

    pub(super) fn wake(&mut self) -> Option<Waker> {
        if self.parked == Parked::Running {
            return None;
        }
        self.parked = Parked::Running;
        self.waker.clone()
    }
}
