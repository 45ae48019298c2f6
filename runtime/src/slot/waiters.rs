//! Who waits for a step in the life of a slot. A step wakes those whose wish it grants, and nobody else.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use parking_lot::MutexGuard;

use super::{Life, Phase, Slot};

/// What somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// The first incarnation has started, or never will.
    Settled,
    /// It takes messages, or never will.
    Running,
    /// The incarnation of this number has ended.
    Ended(u32),
    /// It is gone for good.
    Gone,
}

impl Life {
    fn grants(&self, wish: Wish) -> bool {
        let gone = self.phase == Phase::Gone;
        match wish {
            Wish::Settled => gone || self.proven || self.failed_start.is_some(),
            Wish::Running => gone || self.phase == Phase::Running,
            Wish::Ended(number) => self.number != number || !self.is_alive(),
            Wish::Gone => gone,
        }
    }
}

/// Those who wait, of whom there is mostly none or one.
#[derive(Default)]
pub(super) struct Waiters {
    first: Option<Waiter>,
    #[allow(clippy::box_collection)] // Every slot has the place for it, and hardly one uses it.
    more: Option<Box<BTreeMap<u64, Waiter>>>,
    last_key: u64,
}

struct Waiter {
    key: u64,
    wish: Wish,
    waker: Waker,
}

impl Waiters {
    /// Enters a waiter anew. Returns its key.
    fn enter(&mut self, wish: Wish, waker: Waker) -> u64 {
        self.last_key += 1;
        let waiter = Waiter { key: self.last_key, wish, waker };
        if self.first.is_none() {
            self.first = Some(waiter);
        } else {
            self.more.get_or_insert_default().insert(self.last_key, waiter);
        }
        self.last_key
    }

    fn remove(&mut self, key: u64) -> Option<Waiter> {
        self.first.take_if(|first| first.key == key).or_else(|| self.more.as_mut()?.remove(&key))
    }
}

/// Lets go of the life lock after a step, and wakes those whose wish it granted.
pub(super) fn step(mut life: MutexGuard<'_, Life>) {
    let (first, rest) = take_granted(&mut life);
    drop(life);
    // Not under the lock: a waker may hold the last handle of a task.
    if let Some(first) = first {
        first.waker.wake();
    }
    rest.into_iter().for_each(|waiter| waiter.waker.wake());
}

fn take_granted(life: &mut Life) -> (Option<Waiter>, Vec<Waiter>) {
    if life.waiters.first.is_none() && life.waiters.more.is_none() {
        return (None, Vec::new());
    }
    let mut waiters = std::mem::take(&mut life.waiters);
    let first = waiters.first.take_if(|first| life.grants(first.wish));
    let mut rest = Vec::new();
    if let Some(more) = &mut waiters.more {
        rest.extend(more.extract_if(.., |_, waiter| life.grants(waiter.wish)).map(|(_, waiter)| waiter));
    }
    waiters.more.take_if(|more| more.is_empty());
    life.waiters = waiters;
    (first, rest)
}

/// The future of one who waits. Cancel safe.
pub(super) struct Wait<'a> {
    slot: &'a Slot,
    wish: Wish,
    /// Where it is entered.
    key: Option<u64>,
}

impl<'a> Wait<'a> {
    pub(super) fn new(slot: &'a Slot, wish: Wish) -> Self {
        Self { slot, wish, key: None }
    }
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut life = self.slot.life.lock();
        let entered = self.key.take().and_then(|key| life.waiters.remove(key));
        let granted = life.grants(self.wish);
        if !granted {
            self.key = Some(life.waiters.enter(self.wish, cx.waker().clone()));
        }
        drop(life);
        // Not under the lock, as in `step`.
        drop(entered);
        if granted { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let entered = self.slot.life.lock().waiters.remove(key);
            drop(entered);
        }
    }
}
